"""Back to the generation that was live before, brought up to date first."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from stats.service import compare, generations
from stats.service.announce import announce_changes, look_at
from stats.service.catch_up import CatchUp
from stats.service.lock import holding_lock

# Everything that began after the generation was retired comes after this position; what began before and was not
# finished then is found by name.
_CURSOR = text(
    """
    UPDATE generation SET
        cursor_xid = greatest(
            cursor_xid, CAST(CAST(CAST(CAST(pg_snapshot_xmax(position) AS text) AS numeric) - 1 AS text) AS xid8)),
        cursor_seq = CASE WHEN cursor_xid >= pg_snapshot_xmax(position) THEN cursor_seq ELSE 9223372036854775807 END
    WHERE schema = :schema
    """
)


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Which generation is live now, which one was, and how many users were told of other totals."""

    live: str
    before: str
    announced: int
    switch_ms: float


async def roll_back(engine: AsyncEngine, source: str) -> RolledBack:
    """Catch the last retired generation up, make it live, announce what differs.

    Raises :class:`NoGeneration`, or :class:`RebuildRunning` while somebody rebuilds. May be repeated after a kill; a
    second call goes forward again.
    """
    async with holding_lock(engine):
        async with engine.begin() as connection:
            before = await generations.live(connection)
            schema = await generations.last_retired(connection)
            await connection.execute(_CURSOR, {"schema": schema})
        catch_up = CatchUp(engine, schema, retired=True)
        await catch_up.follow()
        users = await compare.differing_users(engine, before, schema)
        async with engine.begin() as connection:
            await look_at(connection, schema, users)
        milliseconds = await catch_up.switch(None)
        announced = await announce_changes(engine, source)
    return RolledBack(schema, before, announced, milliseconds)
