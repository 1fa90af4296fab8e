"""Wake-up inside one process, with a poll behind it for writers that cannot signal."""

import asyncio
from dataclasses import dataclass, field


class Signal:
    """Says "there may be work". Setting it twice before it is seen is one wake-up."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - the time-out is the poll itself
        """Return when signalled or after ``timeout`` seconds, whichever is first."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()


@dataclass(slots=True)
class AdaptivePoll:
    """How long to wait for a signal: short while there was work lately, longer and longer when idle."""

    shortest: float = 0.02
    longest: float = 1.0
    _current: float = field(default=0.02, init=False)

    def next(self, *, worked: bool) -> float:
        """Return seconds to wait; ``worked`` says whether the last round found anything."""
        self._current = self.shortest if worked else min(self._current * 1.5, self.longest)
        return self._current


class Pace:
    """Rounds with a rest after each: what comes in quick succession shares one, what comes alone never waits.

    The rest lasts as long as the round did, ``longest`` seconds at most, and until ``shortest`` seconds after it
    began. So a busy machine, on which rounds take longer, makes fewer and larger ones. A full round needs no rest.
    """

    def __init__(self, shortest: float, longest: float = 0.1) -> None:
        self._shortest = shortest
        self._longest = longest
        self._began = 0.0
        self._due = 0.0

    async def begin(self) -> None:
        """Return when a round may begin."""
        loop = asyncio.get_running_loop()
        if (pause := self._due - loop.time()) > 0:
            await asyncio.sleep(pause)
        self._began = self._due = loop.time()

    def end(self, *, full: bool = False) -> None:
        """Say that the round is over; ``full`` when more was there than went into it."""
        now = asyncio.get_running_loop().time()
        rest = min(now - self._began, self._longest)
        self._due = now if full else max(self._began + self._shortest, now + rest)
