"""What a move does about circumstances (a held lock, a restart, a full disk): again after a while, then a sentence."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy.exc
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.history.errors import Interrupted
from shared.database import describe, is_transient

log = structlog.get_logger(__name__)

T = TypeVar("T")

_WAIT = text("SELECT set_config('lock_timeout', :limit, true)")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a lock, and between attempts; never so long that another process takes this one for dead."""

    lock_seconds: float = 10.0
    pauses: Sequence[float] = (1.0, 5.0)

    async def bound_waits(self, connection: AsyncConnection) -> None:
        """Have the transaction wait no longer for any lock: capture's turn may be held by a process that froze."""
        await connection.execute(_WAIT, {"limit": f"{self.lock_seconds * 1000:.0f}ms"})

    async def over(self, attempt: Callable[[], Awaitable[T]], *, say: Callable[[str], Awaitable[None]]) -> T:
        """Return what the attempt, one transaction, comes to; ``say`` why it is late. Raises :class:`Interrupted`."""
        for pause in [*self.pauses, None]:
            try:
                return await attempt()
            except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError, OSError) as error:
                if pause is None or not is_transient(error):
                    raise Interrupted(describe(error)) from error
                log.warning("history_interrupted", error=describe(error))
                await _unless_away(say, f"the database does not let it go on ({describe(error)})")
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


async def _unless_away(say: Callable[[str], Awaitable[None]], sentence: str) -> None:
    try:
        await say(sentence)
    except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError, OSError) as error:
        if not is_transient(error):
            raise
