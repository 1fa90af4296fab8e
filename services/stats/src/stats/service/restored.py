"""After a dump was loaded on another server: the journal is made readable there."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from stats.service import generations, runs

# Transaction ids belong to one server. In a restored journal they may lie in the future: no rebuild would read such
# rows, and a live group that is given one of these ids would apply them again as its own. Order by `seq` remains.
_RESET = text("UPDATE journal SET xid = '0' WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())")


async def mend_after_restore(engine: AsyncEngine) -> int:
    """Give rows of another server an id that is past; return how many. Run before the service; safe to repeat.

    Places in the journal noted before mean nothing then: an unfinished rebuild and earlier generations are removed.
    """
    async with engine.begin() as connection:
        mended = (await connection.execute(_RESET)).rowcount
        if mended:
            await generations.drop_all_but_live(connection)
        run = await runs.unfinished(connection)
        if mended and run:
            await runs.finish(connection, run, "cancelled")
    return mended
