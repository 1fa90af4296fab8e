"""Events that may be killing the process: tried alone, with a note made before, so that a crash tells which it was.

A message that keeps coming back (its delivery count rises with every crash, for the guilty and for its prefetched
neighbours alike) is applied by itself. If the process dies while the note stands, the next one reads it; after a few
such deaths the event is set aside, long before the broker's delivery limit would take the neighbours with it.
"""

from aio_pika.abc import AbstractIncomingMessage
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import PermanentError
from shared.events import Event

SUSPECT_AFTER = 3
DEATHS_ALLOWED = 3

_NOTE = text(
    """
    INSERT INTO suspect AS s (event_id, tries) VALUES (:id, 1)
    ON CONFLICT (event_id) DO UPDATE SET tries = s.tries + 1
    RETURNING tries
    """
)
_CLEAR = text("DELETE FROM suspect WHERE event_id = :id")


class KillsTheProcess(PermanentError):
    """The process died again and again while this event was applied alone."""


def is_suspect(delivery: AbstractIncomingMessage) -> bool:
    """Say whether a delivery came back so often that it has to be tried alone."""
    count = delivery.headers.get("x-delivery-count")
    return isinstance(count, int) and count >= SUSPECT_AFTER


async def note(engine: AsyncEngine, event: Event) -> int:
    """Commit that the event is about to be tried and return how often it was, this time included."""
    async with engine.begin() as connection:
        tries: int = (await connection.execute(_NOTE, {"id": event.id})).scalar_one()
    return tries


async def clear(engine: AsyncEngine, event: Event) -> None:
    """Commit that the try came to an end, good or bad."""
    async with engine.begin() as connection:
        await connection.execute(_CLEAR, {"id": event.id})
