"""What the admin API's routes have in common: what they call, their paging, and the age of what they show."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header, Query, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access.actor import Actor
from bookings_gateway.access.audit import Values
from bookings_gateway.age import AGE_HEADER, AGED, age
from bookings_gateway.asked_write import AskedWrite, asked_write
from bookings_gateway.export import LINES, guarded, lines_of
from bookings_gateway.remote import Remote
from bookings_gateway.schemas_admin import Word
from shared.problems import documented

NO_NUL = r"^[^\x00]*$"  # PostgreSQL's text holds none

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000)]
Cursor = Annotated[Word | None, Query(description="`next` of the page before")]
_KEY = Header(
    alias="Idempotency-Key",
    min_length=8,
    max_length=200,
    pattern=r"^[\x21-\x7e]+$",
    description="The same key again does it once",
)
Key = Annotated[str, _KEY]
OptionalKey = Annotated[str | None, _KEY]


VERSION: dict[str, Any] = {
    "headers": {"ETag": {"description": "What `If-Match` of a change takes", "schema": {"type": "string"}}}
}
VERSIONED: dict[str, Any] = {"headers": {**AGED["headers"], **VERSION["headers"]}}
_OFF = "There is no such thing, or the new endpoints are switched off for whoever asks"
# What any route of the new admin API may answer beside its own.
NEW = documented(403, 404)
NEW[404]["description"] = _OFF


def repeated(model: type) -> dict[int | str, dict[str, Any]]:
    """Return what the repetition of a key answers, for an operation's description."""
    return {200: {"model": model, "description": "Done before with this key"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminDoor:
    """What the routes call. ``currency`` is the business's own."""

    engine: AsyncEngine
    remote: Remote
    currency: str

    async def say_age(self, response: Response) -> None:
        """Put on the answer how old the read model is."""
        response.headers[AGE_HEADER] = await age(self.engine)

    def asking(
        self, actor: Actor, *, action: str, entity: str, before: Values | None = None, after: Values | None = None
    ) -> AbstractAsyncContextManager[AskedWrite]:
        """Have another service write something for somebody, in the block this opens; see :func:`asked_write`."""
        return asked_write(self.engine, actor, AskedWrite(action=action, entity=entity, before=before, after=after))


async def csv_body(
    header: Sequence[str], rows: AsyncIterator[Sequence[object]], *, amounts: Collection[str] = ()
) -> AsyncIterator[bytes]:
    """Yield a CSV file, a few hundred lines at a time; text that would be a formula gets an apostrophe in front."""
    lines: list[Sequence[object]] = [header]
    async for row in rows:
        lines.append(guarded(row, header, amounts))
        if len(lines) >= LINES:
            yield lines_of(lines)
            lines.clear()
    yield lines_of(lines)
