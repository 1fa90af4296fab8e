"""The envelope: CloudEvents 1.0 in its JSON format, one event or a batch of them per message.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

EVENT_CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"

EVENTS_HEADER = "x-events"  # how many events a batch message carries


class Event(BaseModel):
    """One fact. ``data`` is a snapshot of the aggregate at version ``sequence``, never a delta.

    ``time`` is when it happened in the world, ``subject`` the aggregate's id. A consumer that keeps the
    highest ``sequence`` per subject ends in the same state whatever order events come in.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: Annotated[str, Field(min_length=1)]
    type: Annotated[str, Field(min_length=1, max_length=200)]
    subject: Annotated[str, Field(min_length=1, max_length=200)]
    time: AwareDatetime
    sequence: Annotated[int, Field(ge=1, lt=2**63)]
    dataschema: Annotated[str, Field(min_length=1)]
    datacontenttype: Literal["application/json"] = "application/json"
    traceparent: str | None = None
    data: dict[str, Any]

    def encode(self) -> bytes:
        """Return the event as JSON, ready for a message body."""
        return self.model_dump_json(exclude_none=True).encode()


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A body, or one element of a batch, that is no event of ours: for the dead letters."""

    body: bytes
    reason: str


_EVENT = TypeAdapter(Event)
_EVENTS = TypeAdapter(list[Event])
_ELEMENTS = TypeAdapter(list[Any])
_ANY = TypeAdapter(Any)


def encode_batch(bodies: Sequence[str]) -> bytes:
    """Join already encoded events into one batch body."""
    return f"[{','.join(bodies)}]".encode()


def decode(body: bytes, content_type: str | None) -> list[Event | Undecodable]:
    """Read a message body; what is wrong comes back as :class:`Undecodable`, never as an exception.

    One bad element of a batch is set aside alone: its neighbours are still good events.
    """
    if content_type != BATCH_CONTENT_TYPE:
        return [_decode_one(body)]
    try:
        return list(_EVENTS.validate_json(body))
    except ValidationError:
        return _decode_elements(body)


def _decode_one(body: bytes) -> Event | Undecodable:
    try:
        return _EVENT.validate_json(body)
    except ValidationError as error:
        return Undecodable(body, explain(error))


def _decode_elements(body: bytes) -> list[Event | Undecodable]:
    try:
        elements = _ELEMENTS.validate_json(body)
    except ValidationError as error:
        return [Undecodable(body, explain(error))]
    return [_decode_one(_ANY.dump_json(element)) for element in elements]


def explain(error: ValidationError) -> str:
    """Say what is wrong and where, without repeating the values: they may be personal data."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)[:5]
    )
