"""The registry of event types and the reading of an event's data by its contract."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import PermanentError
from shared.events import Event, explain


class Snapshot(BaseModel):
    """State of one aggregate as an event carries it; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


@dataclass(frozen=True, slots=True)
class Contract:
    """One event type at one version, and the model of its data."""

    event_type: str
    version: int
    model: type[Snapshot]

    @property
    def dataschema(self) -> str:
        return f"urn:bookings:event:{self.event_type}:v{self.version}"


CONTRACTS: dict[str, Contract] = {}


def register(model: type[Snapshot], *types: str, version: int = 1) -> None:
    """Declare that events of these types carry ``model``."""
    for type_ in types:
        CONTRACTS[type_] = Contract(type_, version, model)


class UnknownType(PermanentError):
    """No contract is known for this event type."""


class BrokenContract(PermanentError):
    """The event's data does not fit its contract."""


class NewerSchema(PermanentError):
    """The event was written by a newer contract version than this service knows: upgrade, then requeue."""


def contract_of(type_: str) -> Contract:
    """Return the contract of an event type; raises :class:`UnknownType`."""
    try:
        return CONTRACTS[type_]
    except KeyError:
        raise UnknownType(f"no contract for event type {type_!r}") from None


def read(event: Event) -> Any:  # noqa: ANN401 - the model depends on the type, callers narrow it
    """Return the event's data as its contract's model.

    Raises :class:`UnknownType`, :class:`NewerSchema` or :class:`BrokenContract`.
    """
    contract = contract_of(event.type)
    if event.dataschema != contract.dataschema:
        _refuse_newer(event, contract)
    try:
        return contract.model.model_validate(event.data)
    except ValidationError as error:
        raise BrokenContract(f"{event.type} v{contract.version}: {explain(error)}") from None


_VERSION = re.compile(r":v(\d{1,6})$")


def _refuse_newer(event: Event, contract: Contract) -> None:
    found = _VERSION.search(event.dataschema)
    if not found or int(found.group(1)) > contract.version:
        raise NewerSchema(f"{event.type}: schema {event.dataschema!r}, known up to v{contract.version}")
