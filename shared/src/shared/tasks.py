"""Background work of a process: named tasks that go on for as long as the process does."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from shared.database import describe

log = structlog.get_logger(__name__)

_RESTART_SECONDS = 2.0


class Tasks:
    """Starts tasks and stops them in reverse order. One that dies of a defect is started again, and reported."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._troubles: dict[str, str] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` until stopped; it is called anew whenever it raises."""
        self._tasks.append(asyncio.create_task(self._run(name, work), name=name))

    async def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            restarted = asyncio.get_running_loop().call_later(_RESTART_SECONDS, self._troubles.pop, name, None)
            try:
                return await work()
            except Exception as error:
                log.exception("task_died", task=name)
                self._troubles[name] = describe(error)
            finally:
                restarted.cancel()
            await asyncio.sleep(_RESTART_SECONDS)

    async def health(self) -> str | None:
        """Return which tasks died a moment ago, and of what, or ``None``."""
        return "; ".join(f"{name} died of {trouble}" for name, trouble in self._troubles.items()) or None

    async def stop(self) -> None:
        """Cancel the last started first, and wait for each."""
        while self._tasks:
            task = self._tasks.pop()
            task.cancel()
            await asyncio.wait([task])
