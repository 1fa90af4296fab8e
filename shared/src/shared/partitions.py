"""Who sends which part of the outbox: advisory locks, shared fairly between live replicas."""

import asyncio
import math
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import PARTITIONS

_LIVE, _BULK = 7_301_955, 7_301_956  # live and bulk events are sent by different relays: each lane has its own locks
_MEMBERSHIP = PARTITIONS  # one key past the parts: every live replica holds it, shared

_JOIN = text("SELECT pg_advisory_lock_shared(:namespace, :membership)")
_MEMBERS = text(
    """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = :namespace AND objid = :membership AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
)
_TRY = text("SELECT pg_try_advisory_lock(:namespace, :part)")
_RELEASE = text("SELECT pg_advisory_unlock(:namespace, part) FROM unnest(CAST(:parts AS int[])) AS part")


class Partitions:
    """The parts this connection owns. The locks go with the connection, so a dead replica owns nothing."""

    def __init__(self, connection: AsyncConnection, *, bulk: bool = False) -> None:
        self._connection = connection
        self._namespace = _BULK if bulk else _LIVE
        self._owned: list[int] = []
        self._next_look = 0.0
        self._joined = False

    async def share(self, *, every: float) -> Sequence[int]:
        """Return the owned parts; look ``every`` so many seconds whether the share is still fair."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_look:
            await self._rebalance()
            self._next_look = now + every
        return self._owned

    async def _rebalance(self) -> None:
        """Take what is missing to a fair share, give back what is above it."""
        fair = math.ceil(PARTITIONS / await self._members())
        if len(self._owned) > fair:
            await self._release(self._owned[fair:])
        for part in range(PARTITIONS):
            if len(self._owned) < fair and part not in self._owned and await self._take(part):
                self._owned.append(part)

    async def _members(self) -> int:
        keys = {"namespace": self._namespace, "membership": _MEMBERSHIP}
        if not self._joined:
            await self._connection.execute(_JOIN, keys)
            self._joined = True
        return int((await self._connection.execute(_MEMBERS, keys)).scalar_one())

    async def _take(self, part: int) -> bool:
        taken = await self._connection.execute(_TRY, {"namespace": self._namespace, "part": part})
        return bool(taken.scalar_one())

    async def _release(self, parts: Sequence[int]) -> None:
        await self._connection.execute(_RELEASE, {"namespace": self._namespace, "parts": list(parts)})
        self._owned = [part for part in self._owned if part not in parts]
