"""Rebuild beside the live generation: bulk, indexes, catch-up, comparison, switch, announcements.

Everything up to the switch happens in a schema nobody reads, in short-lived transactions that note how far they came.
So a rebuild may be killed, paused or cancelled at any moment, and going on is the same as never having stopped.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from stats import projector
from stats.errors import RebuildRunning
from stats.service import compare, generations, runs
from stats.service.announce import announce_changes, look_at
from stats.service.catch_up import CatchUp
from stats.service.runs import Run

# A large slice touches each user's sums once instead of again and again; what it needs beyond `work_mem` goes to
# temporary files. It bounds how long one transaction lasts (some seconds), not memory.
SLICE = 3_000_000
_LOOK_SECONDS = 0.5

_TABLES = {"facts": (), "payments": ("booking_fact", "payment_fact", "currency_totals"), "activity": ("activity",)}
_STATEMENTS = {"facts": ("bookings", "merges"), "payments": ("payments",), "activity": ("activity",)}


class Cancelled(Exception):
    """An operator wished it so."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. ``purpose``: switch, dry-run, verify or as-of. ``rate``: at most so many events a second.

    ``user``: with as-of, whose statistics of then are wanted.
    """

    purpose: str = "switch"
    operator: str = "unknown"
    rate: int | None = None
    as_of: datetime | None = None
    user: UUID | None = None
    slice: int = SLICE


@dataclass(slots=True)
class Progress:
    """How far it is, for whoever shows it. ``done`` and ``total`` count each event once per pass."""

    phase: str = "bulk"
    done: int = 0
    total: int = 0
    resumed: bool = False
    note: str = ""
    began: float = field(default_factory=monotonic)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. ``differences`` is the number of users whose statistics differ from the live ones."""

    run: Run
    differences: int
    switched: bool
    announced: int = 0
    switch_ms: float | None = None
    described: Mapping[str, object] | None = None


@dataclass(slots=True)
class Rebuild:
    """One rebuild, driven by the process that holds the rebuild lock."""

    engine: AsyncEngine
    source: str
    progress: Progress = field(default_factory=Progress)
    after_switch: Callable[[], None] = lambda: None

    async def __call__(self, order: Order) -> Outcome:
        """Begin, or go on with the one that was interrupted, and bring it to its end.

        Raises :class:`RebuildRunning` if somebody else is at it or an unfinished one was for something else, and
        :class:`Cancelled` when that was wished; then nothing of it is left.
        """
        async with runs.holding_lock(self.engine):
            run = await self._begin_or_resume(order)
            try:
                await self._bulk(run)
                return await self._finish(run, order)
            except Cancelled:
                await remove(self.engine, run, state="cancelled")
                raise

    async def _begin_or_resume(self, order: Order) -> Run:
        async with self.engine.begin() as connection:
            run = await runs.unfinished(connection)
            if run and (run.purpose, run.as_of) != (order.purpose, order.as_of):
                raise RebuildRunning(
                    f"rebuild {run.id} ({run.purpose}) by {run.operator} is unfinished: go on with it by the same "
                    "command, or `stats rebuild cancel`"
                )
            self.progress.resumed = run is not None
            run = run or await self._begin(connection, order)
        await self._remember(run)
        return run

    async def _begin(self, connection: AsyncConnection, order: Order) -> Run:
        schema = await generations.create(connection)
        run = await runs.begin(
            connection,
            purpose=order.purpose,
            schema=schema,
            operator=order.operator,
            rate=order.rate,
            as_of=order.as_of,
        )
        if run.as_of:
            # A view in the generation's own schema is found before the journal itself. Not a parameter: it is DDL.
            moment = run.as_of.isoformat()
            view = f"CREATE VIEW {schema}.journal AS SELECT * FROM public.journal WHERE time <= '{moment}'"  # noqa: S608
            await connection.execute(text(view))
        size = min(order.slice, max(1000, order.rate)) if order.rate else order.slice
        await runs.cut(connection, run, size)
        return run

    async def _remember(self, run: Run) -> None:
        async with self.engine.connect() as connection:
            row = await runs.last(connection)
            assert row is not None  # noqa: S101 - it was just written
            share = await runs.share_done(connection, row)
        self.progress.phase = run.phase
        self.progress.total = row["events"] * len(runs.PASSES)
        self.progress.done = round(share * self.progress.total)

    async def _bulk(self, run: Run) -> None:
        """Facts first; then payments and activity, which only need to know whose a booking is, side by side."""
        if run.phase != "bulk":
            return
        await self._pass(run, "facts")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass(run, "payments"))
            tasks.create_task(self._pass(run, "activity"))
        async with self.engine.begin() as connection:
            position = await runs.end_of_slices(connection, run)
            await generations.move_cursor(connection, run.schema, position)
            await runs.enter_phase(connection, run, "catching up")

    async def _pass(self, run: Run, name: str) -> None:
        started, done = monotonic(), 0
        while True:
            await self._heed(run, started, done)
            async with self.engine.begin() as connection:
                events = await self._slice(connection, run, name)
            if events is None:
                break
            done += events
            self.progress.done += events
        for index in generations.indexes():
            if index.table in _TABLES[name]:
                await self._index(run, index)

    async def _slice(self, connection: AsyncConnection, run: Run, name: str) -> int | None:
        """Apply one slice and note it, in one transaction."""
        await projector.enter_many(connection, run.schema)
        slice_ = await runs.next_slice(connection, run, name)
        if slice_ is None:
            return None
        await projector.apply(connection, slice_.window, statements=_STATEMENTS[name], report=False)
        await runs.step(connection, run, name, slice_.events)
        return slice_.events

    async def _index(self, run: Run, index: generations.Index) -> None:
        await self._heed(run, monotonic(), 0)
        async with self.engine.begin() as connection:
            await projector.enter_many(connection, run.schema)
            await connection.execute(text(index.statement))
            await connection.execute(text(f"ANALYZE {index.table}"))

    async def _heed(self, run: Run, started: float, done: int) -> None:
        """Between slices: cancel, pause, or wait as the rate asks. Three passes share the rate."""
        while True:
            async with self.engine.connect() as connection:
                wish, rate = await runs.wishes(connection, run)
            if wish == "cancel":
                raise Cancelled(f"rebuild {run.id} was cancelled")
            due = started + done / (rate * len(runs.PASSES)) if rate else started
            if wish == "run" and monotonic() >= due:
                self.progress.note = ""
                return
            self.progress.note = "paused" if wish == "pause" else "held to its rate"
            await asyncio.sleep(min(_LOOK_SECONDS, max(0.01, due - monotonic())) if wish == "run" else _LOOK_SECONDS)

    async def _finish(self, run: Run, order: Order) -> Outcome:
        if run.purpose == "as-of":
            return await self._report(run, order.user)
        self.progress.phase = "catching up"
        catch_up = CatchUp(self.engine, run.schema)
        await catch_up.follow()
        self.progress.phase = "comparing"
        candidates = await self._compare(run)
        self.progress.phase = "switching"
        await self._heed(run, monotonic(), 0)
        switch = await catch_up.settle(
            run, candidates, make_live=run.purpose == "switch", heed=lambda: self._heed(run, monotonic(), 0)
        )
        announced = 0
        if run.purpose == "switch":
            self.progress.phase = "announcing"
            announced = await announce_changes(self.engine, self.source)
            self.after_switch()
        else:
            await remove(self.engine, run, state="done", differences=switch.differences)
        return Outcome(run, switch.differences, run.purpose == "switch", announced, switch.milliseconds)

    async def _compare(self, run: Run) -> set[UUID]:
        """Find who differs, note them to be looked at after the switch, and record both sides."""
        async with self.engine.connect() as connection:
            live = await generations.live(connection)
        users = await compare.differing_users(self.engine, live, run.schema)
        async with self.engine.begin() as connection:
            await look_at(connection, run.schema, users)
        async with self.engine.begin() as connection:
            await compare.record(connection, run.id, live=live, rebuilt=run.schema, users=sorted(users))
        return users

    async def _report(self, run: Run, user: UUID | None) -> Outcome:
        """What statistics were at that moment, beside what they are."""
        self.progress.phase = "comparing"
        users = {user} if user else await self._compare(run)
        described = None
        if user:
            async with self.engine.connect() as connection:
                described = (await compare.describe(connection, run.schema, {user}))[user]
        await remove(self.engine, run, state="done", differences=len(users))
        return Outcome(run, len(users), switched=False, described=described)


async def remove(engine: AsyncEngine, run: Run, *, state: str, differences: int | None = None) -> None:
    """Drop the generation of a run that does not go live, and note how the run ended."""
    async with engine.begin() as connection:
        await generations.drop(connection, run.schema)
        await runs.finish(connection, run, state, differences=differences)
