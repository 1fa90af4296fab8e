"""What the running service looks after by itself: announcements left over from a switch, partitions of the journal,
and dead letters of people who were erased.
"""

import asyncio

import sqlalchemy.exc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database import is_transient
from shared.service import Service
from stats.service.announce import announce_changes, waiting
from stats.service.forget_letters import forget_letters

_ROUND_SECONDS = 5.0
_LOOK_SECONDS = 2.0
_MONTHS_AHEAD = 2
_EXTEND = text("SELECT extend_journal(:months)")
_LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '1s'")


async def look_after(service: Service) -> None:
    """Go round for as long as the process runs; circumstance is waited out."""
    while True:
        pause = _ROUND_SECONDS
        try:
            now = await waiting(service.engine)
            pause = _LOOK_SECONDS if now.users else _ROUND_SECONDS
            if now.is_due and await announce_changes(service.engine, service.source):
                service.committed.set()
            await extend_journal(service.engine)
            await forget_letters(service.engine)
        except (OSError, sqlalchemy.exc.SQLAlchemyError) as error:
            if not is_transient(error):
                raise
        await asyncio.sleep(pause)


async def extend_journal(engine: AsyncEngine) -> None:
    """Make the partitions of the coming months, if they are not there; never waits long for a lock."""
    async with engine.begin() as connection:
        await connection.execute(_LOCK_TIMEOUT)
        await connection.execute(_EXTEND, {"months": _MONTHS_AHEAD})
