"""The way back: what the import told is taken back, as long as it is still as the import left it.

Each booking that nobody changed since is told once more, as ``booking.deleted`` and imported, at its next version:
users let go of the link, payments of what only the row proved, stats of the totals. The legacy rows themselves were
never changed but for the copy of the user's id, which the write-back empties. A booking that somebody changed since is
listed and stays. What is on its way meanwhile arrives later than its taking back, or is swept (``let_go``).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.capture import Capture
from bookings_gateway.history import runs
from bookings_gateway.history.errors import LeaseLost
from bookings_gateway.history.runs import Run
from shared.contracts import BookingSnapshot
from shared.event_log import NewEvent, append

ROWS = 500

# Reversible: published by the import, and that is the newest anybody heard of the booking. Under capture's turn, so
# nothing newer is on its way.
_REVERSIBLE = """
    i.outcome = 'published'
    AND NOT EXISTS (SELECT FROM event_log n WHERE n.subject = i.booking_id AND n.sequence > i.sequence)
"""
_NEXT = text(
    f"""
    SELECT i.booking_id, i.sequence, CAST(l.body -> 'data' AS text) AS data
    FROM import_item i JOIN event_log l ON l.subject = i.booking_id AND l.sequence = i.sequence
    WHERE i.booking_id > :after AND {_REVERSIBLE}
    ORDER BY i.booking_id LIMIT :rows
    """  # noqa: S608
)
_NOW = text("SELECT clock_timestamp()")
_WITHDRAW = text("UPDATE import_item SET outcome = 'withdrawn' WHERE booking_id = ANY(CAST(:ids AS text[]))")
_WITHDRAW_UNTOLD = text("UPDATE import_item SET outcome = 'withdrawn' WHERE outcome IN ('set_aside', 'waived')")
# Also of links that arrive after their booking was taken back. written = false has the write-back empty the row.
_LET_GO = text(
    """
    UPDATE booking_user u SET user_id = NULL, written = false
    FROM import_item i WHERE i.booking_id = u.booking_id AND i.outcome = 'withdrawn' AND u.user_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM event_log n WHERE n.subject = i.booking_id AND n.sequence > i.sequence + 1)
    """
)
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

    async def take_back(self, *, force: bool = False) -> AsyncIterator[int]:
        """Take everything back, yielding how many bookings each chunk did. Raises ``NoRun`` or ``ImportHeld``."""
        async with self.engine.begin() as connection:
            before = await runs.required(connection)
            run = await runs.take(connection, before, state="rolling_back", force=force)
        position = ""
        while taken := await self._chunk(run, position):
            position = taken[-1]
            yield len(taken)
        async with self.engine.begin() as connection:
            await connection.execute(_WITHDRAW_UNTOLD)
            await connection.execute(_LET_GO)
            await runs.end(connection, run, "rolled_back")

    async def _chunk(self, run: Run, position: str) -> list[str]:
        async with self.engine.begin() as connection:
            if (await runs.hold(connection, run))["state"] != "rolling_back":
                raise LeaseLost
            await self.capture.capture_first(connection, self.name)
            rows = (await connection.execute(_NEXT, {"after": position, "rows": ROWS})).all()
            now = (await connection.execute(_NOW)).scalar_one()
            news = []
            for row in rows:
                data = BookingSnapshot.model_validate_json(row.data).model_copy(update={"recorded_payment": None})
                news.append(NewEvent("booking.deleted", row.booking_id, row.sequence + 1, now, data))
            await append(connection, self.name, news, bulk=True)
            ids = [row.booking_id for row in rows]
            await connection.execute(_WITHDRAW, {"ids": ids})
            await connection.execute(_LET_GO)
            await runs.note(connection, run, position=ids[-1] if ids else None)
        return ids


async def let_go(connection: AsyncConnection) -> int:
    """Undo links that arrived after their booking was taken back; the caller commits."""
    return (await connection.execute(_LET_GO)).rowcount
