"""The bulk of a rebuild: the journal as it was at the beginning, slice by slice, into tables without indexes.

Facts first; then payments and activity, which only need to know whose a booking is, side by side.
"""

import asyncio
from dataclasses import dataclass, field
from time import monotonic

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from stats import projector
from stats.errors import Cancelled
from stats.service import generations, runs, slices
from stats.service.runs import Run

_LOOK_SECONDS = 0.5
_STAGES = 2  # facts; then payments and activity side by side
# Which statements a pass runs over each slice, and which tables are complete and indexed when it is done.
_STATEMENTS = {"facts": ("bookings", "merges"), "payments": ("payments",), "activity": ("activity",)}
_TABLES = {"facts": (), "payments": ("booking_fact", "payment_fact", "currency_totals"), "activity": ("activity",)}


@dataclass(slots=True)
class Progress:
    """How far it is, for whoever shows it. ``done`` and ``total`` count each event once per pass."""

    phase: str = ""
    done: int = 0
    total: int = 0
    resumed: bool = False
    note: str = ""

    def say(self, note: str) -> None:
        self.note = note


@dataclass(slots=True)
class Pace:
    """How fast a pass may go: what it has done since it began."""

    began: float = field(default_factory=monotonic)
    done: int = 0

    def due(self, rate: int | None) -> float:
        """Return when it may go on, so that all stages together take as long as the rate says."""
        return self.began + self.done / (rate * _STAGES) if rate else self.began


@dataclass(slots=True)
class Bulk:
    """Takes one run through its bulk, or through the rest of it."""

    engine: AsyncEngine
    run: Run
    progress: Progress

    async def __call__(self) -> None:
        """Do all passes; their end and where catching up begins are noted together."""
        if self.run.phase != "bulk":
            return
        await self._pass("facts")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass("payments"))
                tasks.create_task(self._pass("activity"))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        async with self.engine.begin() as connection:
            if await runs.leave_bulk(connection, self.run):
                position = await slices.end_of_slices(connection, self.run)
                await generations.move_cursor(connection, self.run.schema, position)

    async def heed(self, pace: Pace | None = None) -> None:
        """Between slices: raise :class:`Cancelled`, pause, or wait as the rate asks."""
        while True:
            async with self.engine.connect() as connection:
                wish, rate = await runs.wishes(connection, self.run)
            if wish == "cancel":
                raise Cancelled(f"rebuild {self.run.id} was cancelled")
            wait = pace.due(rate) - monotonic() if pace else 0
            if wish == "run" and wait <= 0:
                self.progress.say("")
                return
            self.progress.say("paused" if wish == "pause" else "held to its rate")
            await asyncio.sleep(min(_LOOK_SECONDS, wait) if wish == "run" else _LOOK_SECONDS)

    async def _pass(self, name: str) -> None:
        pace = Pace()
        while True:
            await self.heed(pace)
            async with self.engine.begin() as connection:
                events = await self._slice(connection, name)
            if events is None:
                break
            pace.done += events
            self.progress.done += events
        for index in generations.indexes():
            if index.table in _TABLES[name]:
                await self._index(index)

    async def _slice(self, connection: AsyncConnection, name: str) -> int | None:
        """Apply one slice and note it, in one transaction."""
        await projector.enter_many(connection, self.run.schema)
        slice_ = await slices.next_slice(connection, self.run, name)
        if slice_ is None:
            return None
        await projector.apply(connection, slice_.window, statements=_STATEMENTS[name], report=False)
        await slices.step(connection, self.run, name, slice_.events)
        return slice_.events

    async def _index(self, index: generations.Index) -> None:
        await self.heed()
        async with self.engine.begin() as connection:
            await projector.enter_many(connection, self.run.schema)
            await connection.execute(text(index.statement))
            await connection.execute(text(f"ANALYZE {index.table}"))
