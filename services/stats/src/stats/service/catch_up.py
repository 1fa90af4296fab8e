"""Follow the journal until next to nothing is left, then do the rest while applies are locked out, and switch.

Two facts make it exact. Live applies append to the journal and apply under the apply lock, in one transaction: so
while the lock is held, whatever of the journal is visible is applied to the live generation, and whatever is not will
be applied to the generation that is live when the lock is free again. And the fenced slices before have missed nothing,
because they end before the oldest transaction that may still write.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

import sqlalchemy.exc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database import sqlstate
from stats import projector
from stats.projector import Position, Window
from stats.service import generations, runs
from stats.service.announce import look_at
from stats.service.runs import Run

_SLICE = 2_000
_FEW, _MANY = 200, 2_000  # applied in some 35 ms, which is how long live groups then wait
_PAUSE_SECONDS = 0.05
_END = Position("18446744073709551615", projector.LAST_SEQ)

_SLICE_END = text(
    """
    SELECT CAST(xid AS text) AS xid, seq, count(*) OVER () AS events FROM (
        SELECT xid, seq FROM public.journal
        WHERE (xid, seq) > (CAST(CAST(:xid AS text) AS xid8), :seq) AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY xid, seq LIMIT :slice
    ) AS slice ORDER BY slice.xid DESC, slice.seq DESC LIMIT 1
    """
)
_LEFT = text(
    """
    SELECT count(*) AS events, coalesce(array_agg(DISTINCT type), '{}') AS types FROM (
        SELECT type FROM public.journal WHERE (xid, seq) > (CAST(CAST(:xid AS text) AS xid8), :seq) LIMIT :most
    ) AS row
    """
)
# Transactions that were under way when the generation was retired, and have committed since.
_LATE = text(
    """
    SELECT DISTINCT CAST(j.xid AS text) FROM generation g, pg_snapshot_xip(g.position) AS under_way
    JOIN public.journal j ON j.xid = under_way WHERE g.schema = :schema
    """
)
# Waiting for the disk would be waiting under the lock. Should the server die now, the switch is undone altogether: any
# live group committed after it takes it to the disk with itself.
_BRIEFLY = text("SELECT set_config('lock_timeout', '200ms', true), set_config('synchronous_commit', 'off', true)")


# The lock on applies was not free for long enough, or we were chosen to end a deadlock.
_TAKEN = ("55P03", "40P01")

# Said while a switch cannot be made yet.
WAITING = "live events come fast, or an older transaction still writes (`fence` in `stats status`)"


class _TooMuchLeft(Exception):
    """More than may be applied while live events wait."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What is noted of a rebuild when its generation goes live."""

    run: Run
    differences: int


async def _nothing() -> None:
    return None


@dataclass(slots=True)
class CatchUp:
    """Brings one generation up to date. ``retired`` says that it was live before, and so may have missed some."""

    engine: AsyncEngine
    schema: str
    retired: bool = False
    say: Callable[[str], None] = lambda _: None

    async def follow(self) -> None:
        """Apply fenced slices until the fence is reached: a slice that is not full ended there.

        Not until a look finds nothing: live groups that follow on each other leave something at every look.
        """
        async with self.engine.connect() as connection:
            await self._follow_all(connection)

    async def _follow_all(self, connection: AsyncConnection) -> None:
        while await self._follow(connection):
            pass

    async def _follow(self, connection: AsyncConnection) -> bool:
        """Apply one fenced slice, in one transaction with its position and the users it touched; say if it was full."""
        async with connection.begin():
            await projector.enter_few(connection, self.schema)
            start = await generations.cursor(connection, self.schema)
            row = (
                await connection.execute(_SLICE_END, {"xid": start.xid, "seq": start.seq, "slice": _SLICE})
            ).one_or_none()
            end = Position(row.xid, row.seq) if row else start
            touched = await projector.apply(connection, Window(start, end))
            await look_at(connection, self.schema, touched)
            await generations.move_cursor(connection, self.schema, end)
        return row is not None and row.events == _SLICE

    @asynccontextmanager
    async def at_one_moment(self) -> AsyncIterator[AsyncConnection]:
        """A transaction to read in, in which this generation and the live one have seen the very same events.

        It sees one snapshot, and what is not applied here of the journal in that snapshot is applied in it alone: it
        ends with a rollback. Live events go on.
        """
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            await projector.enter_few(connection, self.schema)
            await projector.apply(connection, Window(await generations.cursor(connection, self.schema), _END))
            yield connection
            await connection.rollback()

    async def switch(self, ending: Ending | None, *, heed: Callable[[], Awaitable[None]] = _nothing) -> float:
        """Lock applies out for a moment, apply what is left, make the generation live, and note how its rebuild ended.

        Returns how long applies were locked out, in milliseconds. Tried again while the lock is taken, or while too
        much is left for a moment; ``heed`` may end that. What is too much grows from try to try, because live groups
        that follow on each other always leave one.
        """
        most = _FEW
        async with self.engine.connect() as connection:
            while True:
                await self._follow_all(connection)
                try:
                    return await self._switch(connection, ending, most)
                except _TooMuchLeft:
                    most = min(2 * most, _MANY)
                except sqlalchemy.exc.DBAPIError as error:
                    if sqlstate(error) not in _TAKEN:
                        raise
                await heed()
                self.say(WAITING)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _switch(self, connection: AsyncConnection, ending: Ending | None, most: int) -> float:
        async with connection.begin():
            await projector.enter_few(connection, self.schema)
            start = await generations.cursor(connection, self.schema)
            await connection.execute(_BRIEFLY)
            await projector.lock_applies(connection)
            locked = perf_counter()
            await self._apply_rest(connection, start, most)
            await generations.make_live(connection, self.schema)
            if ending:
                milliseconds = (perf_counter() - locked) * 1000
                await runs.finish_live(connection, ending.run, differences=ending.differences, switch_ms=milliseconds)
        return (perf_counter() - locked) * 1000

    async def _apply_rest(self, connection: AsyncConnection, start: Position, most: int) -> None:
        left = (await connection.execute(_LEFT, {"xid": start.xid, "seq": start.seq, "most": most + 1})).one()
        if left.events > most:
            raise _TooMuchLeft
        touched = await projector.apply(connection, Window(start, _END), types=left.types)
        for xid in (await connection.execute(_LATE, {"schema": self.schema})).scalars() if self.retired else ():
            touched |= await projector.apply(connection, Window.of_transaction(xid))
        await look_at(connection, self.schema, touched)
