"""Rebuild beside the live generation: bulk, indexes, catch-up, comparison, switch, announcements.

Everything up to the switch happens in a schema nobody reads, in short-lived transactions that note how far they came.
So a rebuild may be killed, paused or cancelled at any moment, and going on is the same as never having stopped.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from stats.errors import Cancelled, RebuildRunning
from stats.service import compare, generations, runs, slices
from stats.service.announce import announce_changes, look_at
from stats.service.bulk import Bulk, Progress
from stats.service.catch_up import CatchUp, Ending
from stats.service.lock import holding_lock
from stats.service.runs import Run

# Each slice is joined with all facts so far and touches its users' sums anew, so few large ones are faster. What one
# needs beyond `work_mem` goes to temporary files: it costs no memory, but some ten seconds until a pause is heard.
SLICE = 3_000_000


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    ``differences``: how many users' statistics differ from the live ones. ``switch_ms``: how long live events waited at
    the switch; ``None`` when there was none.
    """

    run: Run
    differences: int
    switch_ms: float | None = None
    announced: int = 0
    described: Mapping[str, object] | None = None

    @property
    def switched(self) -> bool:
        return self.switch_ms is not None


@dataclass(slots=True)
class Rebuild:
    """One rebuild, driven by the process that holds the rebuild lock."""

    engine: AsyncEngine
    source: str
    progress: Progress = field(default_factory=Progress)

    async def __call__(self, order: Order) -> Outcome:
        """Begin, or go on with the one that was interrupted, and bring it to its end.

        Raises :class:`RebuildRunning` if somebody else is at it or an unfinished one was for something else, and
        :class:`Cancelled` when that was wished; then nothing of it is left.
        """
        async with holding_lock(self.engine):
            run = await self._begin_or_resume(order)
            bulk = Bulk(self.engine, run, self.progress)
            try:
                await bulk()
                if run.as_of:
                    return await self._report(run, order.user)
                return await self._finish(run, bulk)
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
            if run:
                await runs.resume(connection, run, rate=order.rate)
            else:
                self.progress.phase = "looking over the journal"
                run = await self._begin(connection, order)
            done, total = await slices.done_of_total(connection, run.id)
        self.progress.phase, self.progress.done, self.progress.total = run.phase, done, total
        return run

    async def _begin(self, connection: AsyncConnection, order: Order) -> Run:
        await generations.drop_superseded(connection)
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
        await slices.cut(connection, run, size)
        return run

    async def _finish(self, run: Run, bulk: Bulk) -> Outcome:
        self.progress.phase = "catching up"
        catch_up = CatchUp(self.engine, run.schema, say=self.progress.say)
        await catch_up.follow()
        self.progress.phase = "comparing"
        differences = await self._compare(run, catch_up)
        await bulk.heed()
        if run.purpose != "switch":
            await remove(self.engine, run, state="done", differences=differences)
            return Outcome(run, differences)
        self.progress.phase = "switching"
        milliseconds = await catch_up.switch(Ending(run, differences), heed=bulk.heed)
        self.progress.phase = "announcing"
        announced = await announce_changes(self.engine, self.source, say=self.progress.say)
        return Outcome(run, differences, milliseconds, announced)

    async def _compare(self, run: Run, catch_up: CatchUp) -> int:
        """Find who differs, record both sides, and note whom to look at after a switch; return how many."""
        candidates = await self._candidates(run)
        async with catch_up.at_one_moment() as connection:
            found = await compare.confirm(connection, run.schema, candidates)
        async with self.engine.begin() as connection:
            await compare.keep(connection, run.id, found.shown)
            if run.purpose == "switch":
                await look_at(connection, run.schema, candidates)
        return found.count

    async def _candidates(self, run: Run) -> Collection[UUID]:
        async with self.engine.connect() as connection:
            live = await generations.live(connection)
        return await compare.differing_users(self.engine, live, run.schema)

    async def _report(self, run: Run, user: UUID | None) -> Outcome:
        """What statistics were at that moment, beside what they are."""
        self.progress.phase = "comparing"
        described = None
        async with self.engine.connect() as connection:
            if user:
                described = await compare.describe_person(connection, run.schema, user)
            found = await compare.confirm(connection, run.schema, {user} if user else await self._candidates(run))
            await connection.rollback()
        async with self.engine.begin() as connection:
            await compare.keep(connection, run.id, found.shown)
        await remove(self.engine, run, state="done", differences=found.count)
        return Outcome(run, found.count, described=described)


async def remove(engine: AsyncEngine, run: Run, *, state: str, differences: int | None = None) -> None:
    """Drop the generation of a run that does not go live, and note how the run ended."""
    async with engine.begin() as connection:
        await generations.drop(connection, run.schema)
        await runs.finish(connection, run, state, differences=differences)
