"""Bodies of login, session and audit."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, StringConstraints
from pydantic.alias_generators import to_camel

from bookings_gateway.access.actor import Role
from bookings_gateway.access.audit import Outcome
from bookings_gateway.access.passwords import LONGEST


def _in_reach(time: datetime) -> datetime:
    """Refuse times no clock shows: their other time zones are no times at all."""
    if not datetime(1900, 1, 1, tzinfo=UTC) <= time <= datetime(9000, 1, 1, tzinfo=UTC):
        raise ValueError("a time is between the years 1900 and 9000")
    return time


Moment = Annotated[AwareDatetime, AfterValidator(_in_reach)]
_LARGEST_ID = 2**63 - 1
Word = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Credentials(BaseModel):
    """Who wants in."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"email": "ann@office.example", "password": "seven long words"}]},
    )

    email: Word
    password: Annotated[SecretStr, Field(min_length=1, max_length=LONGEST)]


class SessionState(_Answer):
    """Who is logged in. ``csrfToken`` goes into the header ``X-CSRF-Token`` of every write; a token needs none."""

    id: UUID
    name: str
    role: Role
    csrf_token: str | None


class AuditQuery(BaseModel):
    """Which lines of the audit; every filter given must hold."""

    actor: Annotated[UUID | None, Field(description="`actorId` of a line")] = None
    action: Annotated[Word | None, Field(examples=["booking.update"])] = None
    entity: Annotated[Word | None, Field(description="`kind/id`", examples=["booking/42"])] = None
    outcome: Outcome | None = None
    since: Moment | None = None
    until: Annotated[Moment | None, Field(description="Not included")] = None
    cursor: Annotated[int | None, Field(ge=1, le=_LARGEST_ID, description="`next` of the page before")] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class AuditLine(_Answer):
    """One write. Of ``before`` and ``after`` only what changed; what may be personal is ``[redacted]``."""

    id: int
    at: datetime
    actor_id: UUID
    actor: str
    role: Role
    action: str
    entity: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    correlation_id: str | None
    outcome: Annotated[
        Outcome, Field(description="`unknown`: another service was asked for it and has not said what it did")
    ]


class AuditPage(_Answer):
    """Lines, newest first; ``next`` is the cursor of the page after, if there is one."""

    data: list[AuditLine]
    next: int | None
