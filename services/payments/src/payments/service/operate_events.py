"""What an operator does with stored events: look, try again, or decide that one is not to be applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_LIST = text(
    """
    SELECT id, type, state, attempts, received_at, next_attempt_at, error FROM stripe_event
    WHERE CAST(:state AS text) IS NULL OR state = :state
    ORDER BY received_at DESC, id LIMIT :limit
    """
)
_SHOW = text("SELECT * FROM stripe_event WHERE id = :id")
_DELIVERIES = text(
    """
    SELECT id, received_at, source, headers, octet_length(body) AS bytes, encode(sha256, 'hex') AS sha256, redacted_at,
           encode(original_sha256, 'hex') AS original_sha256
    FROM stripe_delivery WHERE event_id = :id ORDER BY id
    """
)
_BODY = text("SELECT body FROM stripe_delivery WHERE event_id = :id ORDER BY id LIMIT 1")
_DECISIONS = text(
    "SELECT action, reason, decided_by, decided_at FROM stripe_event_decision WHERE event_id = :id ORDER BY id"
)
# All wait for a worker that has the row, and then find what became of it: an event that took effect is never applied
# again by this, and none that is being applied is called ignored.
_RETRY = text(
    """
    UPDATE stripe_event SET next_attempt_at = now(), attempts = 0
    WHERE id = :id AND state IN ('failed', 'quarantined', 'ignored')
    """
)
_RETRY_ALL = text(
    """
    WITH due AS (
        UPDATE stripe_event SET next_attempt_at = now(), attempts = 0
        WHERE state = :state AND (CAST(:type AS text) IS NULL OR type = :type) RETURNING id
    )
    INSERT INTO stripe_event_decision (event_id, action, decided_by) SELECT id, 'retry', :by FROM due ORDER BY id
    """
)
_IGNORE = text(
    """
    UPDATE stripe_event SET state = 'ignored', next_attempt_at = NULL, decided_at = now()
    WHERE id = :id AND state IN ('received', 'failed', 'quarantined')
    """
)
_NOTE = text(
    """
    INSERT INTO stripe_event_decision (event_id, action, reason, decided_by) VALUES (:id, :action, :reason, :by)
    """
)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with all its deliveries and what was decided about it; ``body`` is that of the first delivery."""

    event: Mapping[str, Any]
    deliveries: Sequence[Mapping[str, Any]]
    decisions: Sequence[Mapping[str, Any]]
    body: bytes


async def list_events(engine: AsyncEngine, *, state: str | None, limit: int) -> Sequence[Row[tuple[object, ...]]]:
    """Return the latest stored events, those of one state when said."""
    async with engine.connect() as connection:
        return (await connection.execute(_LIST, {"state": state, "limit": limit})).all()


async def show_event(engine: AsyncEngine, id_: str) -> StoredEvent | None:
    """Return one event; ``None`` when there is none of that id."""
    async with engine.connect() as connection:
        event = (await connection.execute(_SHOW, {"id": id_})).mappings().one_or_none()
        if event is None:
            return None
        return StoredEvent(
            dict(event),
            await _rows(connection, _DELIVERIES, id_),
            await _rows(connection, _DECISIONS, id_),
            (await connection.execute(_BODY, {"id": id_})).scalar_one(),
        )


async def retry_event(engine: AsyncEngine, id_: str, *, by: str) -> bool:
    """Make an event that took no effect due again, with all its attempts, and commit; ``False`` if there is none."""
    return await _decide(engine, _RETRY, id_, action="retry", reason=None, by=by)


async def retry_events(engine: AsyncEngine, *, state: str, type_: str | None, by: str) -> int:
    """Make all events in a state in which they took no effect due again, those of one type when said, and commit.

    Return how many.
    """
    async with engine.begin() as connection:
        return (await connection.execute(_RETRY_ALL, {"state": state, "type": type_, "by": by})).rowcount


async def ignore_event(engine: AsyncEngine, id_: str, *, reason: str, by: str) -> bool:
    """Decide that an event is not to be applied and commit; ``False`` when none of that id waits or failed."""
    return await _decide(engine, _IGNORE, id_, action="ignore", reason=reason, by=by)


async def _decide(engine: AsyncEngine, statement: TextClause, id_: str, **note: str | None) -> bool:
    async with engine.begin() as connection:
        if not (await connection.execute(statement, {"id": id_})).rowcount:
            return False
        await connection.execute(_NOTE, {"id": id_, **note})
        return True


async def _rows(connection: AsyncConnection, statement: TextClause, id_: str) -> list[Mapping[str, Any]]:
    return [dict(row) for row in (await connection.execute(statement, {"id": id_})).mappings()]
