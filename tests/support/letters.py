"""Dead letters as a service's table has them."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.events import Event

_INSERT = text(
    """
    INSERT INTO dead_letter (subject, content_type, body, reason, attempts, first_failed_at, last_failed_at)
    VALUES (:subject, 'application/cloudevents+json', :body, 'tried', 5, now(), now()) RETURNING id
    """
)


def cut_off(event: Event) -> bytes:
    """Return an event's bytes without the end: no event any more, and all there is of a person still in it."""
    return event.encode()[:-2]


async def set_aside(engine: AsyncEngine, body: bytes, *, subject: str | None = None) -> int:
    """Put a letter into the table and return its id."""
    async with engine.begin() as connection:
        id_: int = (await connection.execute(_INSERT, {"subject": subject, "body": body})).scalar_one()
        return id_


async def kept(engine: AsyncEngine) -> set[int]:
    """Return the letters that still have a text; every other one must be discarded."""
    async with engine.connect() as connection:
        rows = (await connection.execute(text("SELECT id, body, state FROM dead_letter"))).all()
    assert {row.state for row in rows if not row.body} <= {"discarded"}
    return {row.id for row in rows if row.body}
