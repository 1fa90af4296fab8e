"""What the running service looks after by itself: announcements left over from a switch, partitions of the journal,
and dead letters of people who were erased.
"""

import asyncio
import time
from dataclasses import dataclass

import sqlalchemy.exc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database import is_transient
from shared.service import Service
from stats.service.announce import announce_changes, how_many_wait
from stats.service.forget_letters import forget_letters

_ROUND_SECONDS = 5.0
_QUIET_SECONDS = 2.0
_LONGEST_SECONDS = 60.0
_MONTHS_AHEAD = 2
_EXTEND = text("SELECT extend_journal(:months)")
_LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '1s'")


async def look_after(service: Service) -> None:
    """Go round for as long as the process runs; circumstance is waited out."""
    calm = Calm()
    while True:
        waiting = 0
        try:
            waiting = await how_many_wait(service.engine)
            if calm.is_due(waiting) and await announce_changes(service.engine, service.source):
                service.committed.set()
            await extend_journal(service.engine)
            await forget_letters(service.engine)
        except (OSError, sqlalchemy.exc.SQLAlchemyError) as error:
            if not is_transient(error):
                raise
        await asyncio.sleep(_QUIET_SECONDS if waiting else _ROUND_SECONDS)


@dataclass(slots=True)
class Calm:
    """When those who wait are announced: once no more come, or after a minute.

    An import brings a user's bookings over its whole length: announced as they come, each is told again and again.
    """

    _before: int = 0
    _since: float = 0.0

    def is_due(self, waiting: int) -> bool:
        """Take in how many wait, and say whether to announce them now."""
        now = time.monotonic()
        if not self._before:
            self._since = now
        grew, self._before = waiting > self._before, waiting
        is_due = waiting > 0 and (not grew or now - self._since > _LONGEST_SECONDS)
        if is_due:
            self._before = 0
        return is_due


async def extend_journal(engine: AsyncEngine) -> None:
    """Make the partitions of the coming months, if they are not there; never waits long for a lock."""
    async with engine.begin() as connection:
        await connection.execute(_LOCK_TIMEOUT)
        await connection.execute(_EXTEND, {"months": _MONTHS_AHEAD})
