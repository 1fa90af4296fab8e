"""Dead letters: drained from their queue into a table, where an operator lists, shows, requeues and discards them.

Never listed by get-and-requeue: every look would raise the delivery count of what is looked at.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy.exc
import structlog
from aio_pika.abc import AbstractIncomingMessage
from pydantic_core import to_json
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import failures
from shared.database import is_transient
from shared.events import BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE, Event, decode
from shared.publisher import Outgoing, Publisher

log = structlog.get_logger(__name__)

_INSERT = text(
    """
    INSERT INTO dead_letter
        (event_id, type, subject, content_type, body, reason, attempts, first_failed_at, last_failed_at, x_death)
    VALUES (:event_id, :type, :subject, :content_type, :body, :reason, :attempts, :first, :last, CAST(:x_death AS json))
    """
)
_LIST = text(
    """
    SELECT id, event_id, type, subject, reason, attempts, first_failed_at, last_failed_at, state
    FROM dead_letter
    WHERE (CAST(:state AS text) IS NULL OR state = :state) AND (CAST(:type AS text) IS NULL OR type = :type)
    ORDER BY id LIMIT :limit
    """
)
_SHOW = text("SELECT * FROM dead_letter WHERE id = :id")
_NEWEST = text("SELECT coalesce(max(id), 0) FROM dead_letter")
_OPEN = text(
    """
    SELECT id, content_type, body, event_id FROM dead_letter
    WHERE state = 'open' AND id <= :newest AND (:everything OR id = ANY(CAST(:ids AS bigint[])))
      AND (CAST(:type AS text) IS NULL OR type = :type)
    ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    """
)
_DECIDE = text(
    """
    UPDATE dead_letter SET state = :state, decided_at = now(), decided_by = :by
    WHERE state = 'open' AND id = ANY(CAST(:ids AS bigint[]))
    """
)
_PAGE = 500
_AGAIN_SECONDS = 1.0
_BY_THE_BROKER = "set aside by the broker: delivered too often without an answer"


class DeadLetters:
    """One service's dead letters."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def keep(self, delivery: AbstractIncomingMessage) -> None:
        """Write one dead message to the table and acknowledge it. Waits as long as the database is away.

        What the table cannot take as described is kept with its bytes alone.
        """
        row = _row(delivery)
        while True:
            try:
                await self._insert(row)
                break
            except (OSError, sqlalchemy.exc.SQLAlchemyError) as error:
                log.warning("dead_letter_not_kept", error=type(error).__name__)
                if not is_transient(error):
                    row = {**_bare(delivery), "reason": f"could not be described: {type(error).__name__}"}
                await asyncio.sleep(_AGAIN_SECONDS)
        await delivery.ack()
        log.error("dead_letter", message_id=delivery.message_id, attempts=row["attempts"])

    async def _insert(self, row: dict[str, Any]) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(_INSERT, row)

    async def find(
        self, *, state: str | None = "open", type_: str | None = None, limit: int = 100
    ) -> Sequence[RowMapping]:
        """Return the oldest first, without bodies."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(_LIST, {"state": state, "type": type_, "limit": limit})
            return rows.mappings().all()

    async def show(self, id_: int) -> RowMapping | None:
        """Return one whole, or ``None``."""
        async with self._engine.connect() as connection:
            return (await connection.execute(_SHOW, {"id": id_})).mappings().one_or_none()

    async def requeue(
        self,
        publisher: Publisher,
        queue: str,
        *,
        ids: Sequence[int] | None,
        by: str,
        type_: str | None = None,
    ) -> int:
        """Send open dead letters (all, when ``ids`` is ``None``) back to ``queue``; return how many.

        They keep their event ids: one whose subject has moved on since is a no-op. A crash between sending and
        noting it sends again, which has no second effect. What comes back meanwhile waits for the next command.
        """
        async with self._engine.connect() as connection:
            newest = (await connection.execute(_NEWEST)).scalar_one()
        wanted = {"ids": list(ids or []), "everything": ids is None, "type": type_, "newest": newest, "limit": _PAGE}
        total = 0
        while True:
            async with self._engine.begin() as connection:
                page = (await connection.execute(_OPEN, wanted)).mappings().all()
                outcomes = await publisher.publish([_again(row, queue) for row in page])
                sent = [row["id"] for row, outcome in zip(page, outcomes, strict=True) if outcome is None]
                await connection.execute(_DECIDE, {"state": "requeued", "by": by, "ids": sent})
            total += len(sent)
            if len(sent) < _PAGE:
                return total

    async def discard(self, *, ids: Sequence[int], by: str) -> int:
        """Mark open dead letters as not to be applied; return how many. They stay in the table."""
        async with self._engine.begin() as connection:
            decided = await connection.execute(_DECIDE, {"state": "discarded", "by": by, "ids": list(ids)})
            return decided.rowcount


def _row(delivery: AbstractIncomingMessage) -> dict[str, Any]:
    headers = delivery.headers
    event = _event(delivery)
    x_death = headers.get("x-death")
    attempts = headers.get(failures.ATTEMPTS) or headers.get("x-delivery-count")
    return {
        **_bare(delivery),
        "event_id": event.id if event else _uuid(delivery.message_id),
        "type": event.type if event else None,
        "subject": event.subject if event else None,
        "content_type": delivery.content_type,
        "reason": str(headers.get(failures.REASON) or _BY_THE_BROKER).replace("\x00", ""),
        "attempts": attempts if isinstance(attempts, int) else 0,
        "first": _time(headers.get(failures.FIRST_FAILED)),
        "last": _time(headers.get(failures.LAST_FAILED)),
        "x_death": to_json(x_death, fallback=str).decode() if x_death else None,
    }


def _bare(delivery: AbstractIncomingMessage) -> dict[str, Any]:
    """The least that can be said of a message, whatever is in it."""
    unknown = dict.fromkeys(("event_id", "type", "subject", "content_type", "x_death"))
    now = datetime.now(UTC)
    return {**unknown, "body": delivery.body, "reason": "", "attempts": 0, "first": now, "last": now}


def _event(delivery: AbstractIncomingMessage) -> Event | None:
    if delivery.content_type == BATCH_CONTENT_TYPE:
        return None
    item = decode(delivery.body, delivery.content_type)[0]
    return item if isinstance(item, Event) else None


def _uuid(value: str | None) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        return None


def _time(value: object) -> datetime:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else datetime.now(UTC)
    except ValueError:
        return datetime.now(UTC)


def _again(row: RowMapping, queue: str) -> Outgoing:
    return Outgoing(
        body=row["body"],
        routing_key=queue,
        content_type=row["content_type"] or EVENT_CONTENT_TYPE,
        message_id=str(row["event_id"] or row["id"]),
    )
