"""One transaction for all that wait: concurrent requests share a commit, and each learns what became of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import sqlalchemy.exc
import structlog

from payments.errors import NotStored

log = structlog.get_logger(__name__)

T = TypeVar("T")

_GROUP = 200
_GROUP_BYTES = 8 * 1024 * 1024
_LONGEST_QUEUE = 5_000
_WRITE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    item: T
    size: int
    done: asyncio.Future[None]


class GroupCommit(Generic[T]):
    """Hands items to ``write`` in groups: whatever came while the last group was being written.

    ``write`` commits; until it has returned nobody is told "stored". If it fails everybody in the group is told so.
    """

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[_Waiting[T]] = []
        self._arrived = asyncio.Event()
        self._ended = False

    async def put(self, item: T, *, size: int) -> None:
        """Return once ``item`` is committed; ``size`` is its bytes. Raises :class:`NotStored`."""
        if self._ended or len(self._waiting) >= _LONGEST_QUEUE:
            raise NotStored("too many deliveries wait" if not self._ended else "nothing is written any more")
        waiting = _Waiting(item, size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        await waiting.done

    async def run(self) -> None:
        """Write until cancelled; whoever still waits then is told that nothing was stored. May be run again."""
        self._ended = False
        try:
            while True:
                await self._arrived.wait()
                while group := self._take():
                    await self._commit(group)
                self._arrived.clear()
        finally:
            self._ended = True
            _tell(self._waiting, NotStored("the service stops"))

    def _take(self) -> list[_Waiting[T]]:
        count = size = 0
        for waiting in self._waiting[:_GROUP]:
            size += waiting.size
            if count and size > _GROUP_BYTES:
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _commit(self, group: Sequence[_Waiting[T]]) -> None:
        outcome = NotStored("the write was interrupted")
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._write([waiting.item for waiting in group])
        except (OSError, TimeoutError, sqlalchemy.exc.SQLAlchemyError) as error:
            log.warning("group_not_stored", items=len(group), error=repr(error)[:500])
            outcome = NotStored(f"the database did not take it: {type(error).__name__}")
        else:
            _tell(group, None)
        finally:
            _tell(group, outcome)


def _tell(group: Sequence[_Waiting[T]], outcome: NotStored | None) -> None:
    """Answer those not answered yet; a request that went away meanwhile needs none."""
    for waiting in group:
        if waiting.done.done():
            continue
        if outcome is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(outcome)
