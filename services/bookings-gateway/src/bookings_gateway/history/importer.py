"""The import: chunk by chunk, each one transaction, from the row to the event on its way.

What makes it right. A chunk runs in capture's turn, and captures first what is pending. So whatever the table then
holds and ``booking_change`` does not is either told already or was never told, and a writer whose transaction is still
open commits after us: its change is captured later, with a higher sequence. No row of the legacy table is locked.
A chunk's rows, events and ledger commit together, so after a crash anywhere the next run goes on with what is missing.
"""

import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import sqlalchemy.exc
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.capture import Capture
from bookings_gateway.history import runs
from bookings_gateway.history.backlog import tell_backlog
from bookings_gateway.history.errors import LeaseLost, Paused, TooManyRefused
from bookings_gateway.history.items import Item, Setting, SourceRow, item_of, set_aside
from bookings_gateway.history.ledger import publish
from bookings_gateway.history.patience import Patience
from bookings_gateway.history.runs import Run
from bookings_gateway.history.source import Source
from shared.database import is_transient, sqlstate

log = structlog.get_logger(__name__)

CHUNK_ROWS = 500
_MOST_LOOKED_AT = 10_000
_FEWEST_ROWS = 100  # fewer cost more than they spare live changes
_LONG_SECONDS = 0.4
_SHORT_SECONDS = 0.2
_CANCELED = "57014"
_RECENT_CHUNKS = 20

# Longer than this a chunk keeps live changes waiting. It counts from when the chunk has its turn: whoever kept it
# waiting says nothing about its rows.
_GIVE_UP = text("SELECT set_config('statement_timeout', '5s', true)")
_CHUNK = text(
    """
    INSERT INTO import_chunk (run_id, first_id, last_id, rows, took_ms, sha256)
    VALUES (:run, :first, :last, :rows, :took_ms, :sha256)
    """
)


@dataclass(slots=True)
class Importer:
    """Tells the rows of one table. ``refused`` are rows the database would not take, found by making chunks smaller."""

    engine: AsyncEngine
    source: Source
    setting: Setting
    capture: Capture
    name: str
    run: Run
    rows: int = CHUNK_ROWS
    refused: dict[str, str] = field(default_factory=dict)
    patience: Patience = field(default_factory=Patience)
    _told_in_a_row: int = 0
    _telling: Sequence[SourceRow] = ()
    _had_refused: deque[bool] = field(default_factory=lambda: deque(maxlen=_RECENT_CHUNKS))

    async def chunks(self) -> AsyncIterator[int]:
        """Import until nothing is left, yielding how many rows each chunk told.

        Ids are random, so new rows come in behind the position: the end is a pass that finds nothing.
        Raises :class:`Paused`, :class:`LeaseLost` and what is :class:`Stopped`.
        """
        position: str | None = None
        found = 0
        while True:
            rows, position = await self.patience.over(partial(self._smaller, position), say=self.say)
            if rows:
                found += rows
                yield rows
            if position is None:
                if not found:
                    return
                found = 0

    async def say(self, sentence: str) -> None:
        """Say why the run waits, for whoever looks."""
        async with self.engine.begin() as connection:
            await runs.remark(connection, self.run, sentence)

    async def again(self, connection: AsyncConnection, ids: Sequence[str]) -> int:
        """Try single bookings again, for whoever keeps the run still and commits; return how many rows there were."""
        await self.patience.bound_waits(connection)
        await self.capture.capture_first(connection, self.name)
        await connection.execute(_GIVE_UP)
        rows = await self.source.these(connection, ids)
        await self._tell(connection, rows)
        return len(rows)

    async def _smaller(self, position: str | None) -> tuple[int, str | None]:
        """Import one chunk; return its rows and where to go on. A refused or slow one is tried again, smaller."""
        while True:
            try:
                return await self._chunk(position)
            except sqlalchemy.exc.DBAPIError as error:
                if not self._can_go_on(error):
                    raise

    def _can_go_on(self, error: Exception) -> bool:
        """Go on with fewer rows, or without the one that the database refuses; ``False`` when neither would help."""
        is_slow = sqlstate(error) == _CANCELED
        if is_transient(error) and not is_slow:
            return False
        if self.rows > 1:
            self.rows = max(1, self.rows // 4)
            return True
        if is_slow or not self._telling:
            return False
        (row,) = self._telling
        log.error("booking_not_imported", booking_id=row.booking_id, sqlstate=sqlstate(error))
        self.refused[row.booking_id] = f"SQLSTATE {sqlstate(error)}"
        return True

    async def _chunk(self, position: str | None) -> tuple[int, str | None]:
        started = time.perf_counter()
        self._telling = ()
        await tell_backlog(self.engine, self.capture, self.name, self.patience, say=self.say)
        async with self.engine.begin() as connection:
            most = await self._enter(connection)
            rows, last = await self._next(connection, position, min(self.rows, most))
            self._telling = rows
            await self._tell(connection, rows)
            await self._note(connection, rows, last, started)
        if rows:
            self._adapt(time.perf_counter() - started, most)
        self._count_refused(rows)
        return len(rows), last

    async def _next(
        self, connection: AsyncConnection, position: str | None, most: int
    ) -> tuple[Sequence[SourceRow], str | None]:
        """Look at the next rows: the more, the more were told already, as when a run goes on, or at the very end."""
        looked_at = max(most, min(_MOST_LOOKED_AT, 4 * self._told_in_a_row))
        rows, last = await self.source.untold(connection, after=position, since=self.run.started_at, rows=looked_at)
        self._told_in_a_row = 0 if rows else looked_at
        return (rows, last) if len(rows) <= most else (rows[:most], rows[most - 1].booking_id)

    def _count_refused(self, rows: Sequence[SourceRow]) -> None:
        refused = [self.refused[row.booking_id] for row in rows if row.booking_id in self.refused]
        self._had_refused.append(bool(refused))
        if refused and len(self._had_refused) == _RECENT_CHUNKS and 2 * sum(self._had_refused) >= _RECENT_CHUNKS:
            raise TooManyRefused(refused[-1])

    async def _enter(self, connection: AsyncConnection) -> int:
        """Hold the run, then capture's turn; return the most rows a chunk may have."""
        await self.patience.bound_waits(connection)
        held = await runs.hold(connection, self.run)
        if held["state"] == "paused":
            raise Paused
        if held["state"] != "running":
            raise LeaseLost
        await self.capture.capture_first(connection, self.name)
        await connection.execute(_GIVE_UP)
        return int(held["chunk_rows"])

    async def _tell(self, connection: AsyncConnection, rows: Sequence[SourceRow]) -> None:
        if items := [self._item(row) for row in rows]:
            await publish(connection, self.name, self.run, items)

    def _item(self, row: SourceRow) -> Item:
        if row.booking_id in self.refused:
            return set_aside(row, self.setting, "refused_by_database", self.refused[row.booking_id])
        return item_of(row, self.setting)

    async def _note(
        self, connection: AsyncConnection, rows: Sequence[SourceRow], position: str | None, started: float
    ) -> None:
        """Keep what the chunk did; a pass over rows that were told gives its signs of life too."""
        await runs.note(connection, self.run, position=position)
        if not rows:
            return
        first, last = rows[0].booking_id, rows[-1].booking_id
        digest = hashlib.sha256(b"".join(row.sha256 for row in rows)).digest()
        took = round((time.perf_counter() - started) * 1000)
        facts = {"first": first, "last": last, "rows": len(rows), "took_ms": took, "sha256": digest}
        await connection.execute(_CHUNK, {"run": self.run.id, **facts})

    def _adapt(self, seconds: float, most: int) -> None:
        if seconds > _LONG_SECONDS:
            self.rows = max(min(_FEWEST_ROWS, self.rows), self.rows // 2)
        elif seconds < _SHORT_SECONDS:
            self.rows = min(most, self.rows * 2)
