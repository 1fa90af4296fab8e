"""The way back: what the import told is taken back, as long as it is still as the import left it.

Each booking that nobody changed since is told once more, imported, at its next version. One only the import told of, as
``booking.deleted``: the gateway lets go of the link, payments of what only the row proved, stats of the totals. One
that was told live before is told again as it was then, without the payment: link and totals stay. The legacy rows
themselves were never changed but for the copy of the user's id, which the write-back empties. A booking that somebody
changed since is listed and stays. A link on its way meanwhile is let go of by the write-back when it arrives
(``taken_back``).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.capture import Capture
from bookings_gateway.history import runs
from bookings_gateway.history.backlog import tell_backlog
from bookings_gateway.history.errors import LeaseLost, NoRun
from bookings_gateway.history.patience import Patience
from bookings_gateway.history.runs import Run
from bookings_gateway.taken_back import let_all_go, let_go
from shared.contracts import BookingSnapshot
from shared.event_log import NewEvent, append

ROWS = 500

# Reversible: published by the import, and that is the newest anybody heard of the booking. Under capture's turn, so
# nothing newer is on its way.
_REVERSIBLE = """
    i.outcome = 'published'
    AND NOT EXISTS (SELECT FROM event_log n WHERE n.subject = i.booking_id AND n.sequence > i.sequence)
"""
# before: the version the import came upon, unless an earlier import's taking back is all there was.
_NEXT = text(
    f"""
    SELECT i.booking_id, i.sequence, CAST(l.body -> 'data' AS text) AS data,
           CAST(before.body -> 'data' AS text) AS data_before, before.time AS time_before
    FROM import_item i
    JOIN event_log l ON l.subject = i.booking_id AND l.sequence = i.sequence
    LEFT JOIN event_log before
        ON before.subject = i.booking_id AND before.sequence = i.sequence - 1 AND before.type <> 'booking.deleted'
    WHERE i.booking_id > :after AND {_REVERSIBLE}
    ORDER BY i.booking_id LIMIT :rows
    """  # noqa: S608
)
_NOW = text("SELECT clock_timestamp()")
_WITHDRAW = text("UPDATE import_item SET outcome = 'withdrawn' WHERE booking_id = ANY(CAST(:ids AS text[]))")
_WITHDRAW_UNTOLD = text("UPDATE import_item SET outcome = 'withdrawn' WHERE outcome IN ('set_aside', 'waived')")
_OUTLOOK = text(
    f"""
    SELECT count(*) FILTER (WHERE {_REVERSIBLE}) AS reversible,
           count(*) FILTER (WHERE i.outcome = 'published' AND NOT ({_REVERSIBLE})) AS changed_since,
           count(*) FILTER (WHERE i.outcome IN ('set_aside', 'waived')) AS untold,
           count(*) FILTER (WHERE i.outcome = 'withdrawn') AS withdrawn
    FROM import_item i
    """  # noqa: S608
)
_CHANGED_SINCE = text(
    f"""
    SELECT i.booking_id, max(n.sequence) AS sequence, max(n.time) AS changed_at
    FROM import_item i JOIN event_log n ON n.subject = i.booking_id AND n.sequence > i.sequence
    WHERE i.outcome = 'published' AND NOT ({_REVERSIBLE})
    GROUP BY i.booking_id ORDER BY i.booking_id LIMIT :rows
    """  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class Outlook:
    """How many bookings would be taken back, were changed since and stay, were never told, or are back already."""

    reversible: int
    changed_since: int
    untold: int
    withdrawn: int


async def outlook(engine: AsyncEngine) -> Outlook:
    """Return what a rollback would touch; changes nothing."""
    async with engine.connect() as connection:
        row = (await connection.execute(_OUTLOOK)).one()
    return Outlook(row.reversible, row.changed_since, row.untold, row.withdrawn)


async def changed_since(engine: AsyncEngine, *, rows: int = 1_000) -> list[tuple[str, int, str]]:
    """Return bookings that stay because somebody changed them: id, newest version, when."""
    async with engine.connect() as connection:
        found = await connection.execute(_CHANGED_SINCE, {"rows": rows})
        return [(row.booking_id, row.sequence, row.changed_at.isoformat()) for row in found]


@dataclass(frozen=True, slots=True)
class Rollback:
    """Takes a run back, chunk by chunk, each one transaction; a crash anywhere leaves the rest for the next time."""

    engine: AsyncEngine
    capture: Capture
    name: str
    patience: Patience = field(default_factory=Patience)

    async def take_back(self, *, force: bool = False) -> AsyncIterator[int]:
        """Take everything back, yielding how many bookings each chunk did. Raises ``NoRun``, ``ImportHeld``
        or ``Interrupted``."""
        async with self.engine.begin() as connection:
            before = await runs.locked(connection)
            if before is None:
                raise NoRun
            run = await runs.take(connection, before, state="rolling_back", force=force)
        position = ""
        say = partial(self._say, run)
        while taken := await self.patience.over(partial(self._chunk, run, position), say=say):
            position = taken[-1]
            yield len(taken)
        async with self.engine.begin() as connection:
            await self.capture.capture_first(connection, self.name)
            await connection.execute(_WITHDRAW_UNTOLD)
            await let_all_go(connection)  # those that arrived before their booking's withdrawal was to be seen
            await runs.end(connection, run, "rolled_back")

    async def _say(self, run: Run, sentence: str) -> None:
        async with self.engine.begin() as connection:
            await runs.remark(connection, run, sentence)

    async def _chunk(self, run: Run, position: str) -> list[str]:
        await tell_backlog(self.engine, self.capture, self.name, self.patience, say=partial(self._say, run))
        async with self.engine.begin() as connection:
            await self.patience.bound_waits(connection)
            if (await runs.hold(connection, run))["state"] != "rolling_back":
                raise LeaseLost
            await self.capture.capture_first(connection, self.name)
            rows = (await connection.execute(_NEXT, {"after": position, "rows": ROWS})).all()
            now = (await connection.execute(_NOW)).scalar_one()
            await append(connection, self.name, [_taken_back(row, now) for row in rows], bulk=True)
            ids = [row.booking_id for row in rows]
            await connection.execute(_WITHDRAW, {"ids": ids})
            await let_go(connection, ids)
            await runs.note(connection, run, position=ids[-1] if ids else None)
        return ids


def _taken_back(row: Row[Any], now: datetime) -> NewEvent:
    """The event that brings back what held before the import: the version before it at its own time, or nothing."""
    was_told = row.data_before is not None
    said = BookingSnapshot.model_validate_json(row.data_before if was_told else row.data)
    data = said.model_copy(update={"imported": True, "recorded_payment": None})
    type_, time = ("booking.updated", row.time_before) if was_told else ("booking.deleted", now)
    return NewEvent(type_, row.booking_id, row.sequence + 1, time, data)
