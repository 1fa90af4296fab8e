"""A journey through the system as hops, each seen from outside within a bounded time, or missed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import asyncpg
import httpx
import stripe

from local_stack.services import Service

HOP_SECONDS = 20.0
_POLL_SECONDS = 0.05

# Whoever is asked may be away for a moment: then a hop is not seen yet.
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, httpx.HTTPError)


@dataclass(frozen=True)
class Hop:
    """One step: its heading, the service it depends on, a sentence for its absence, and how to see it."""

    name: str
    at: Service
    missed: str
    seen: Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class HopMissing:
    """What did not happen, and the service whose log may say why."""

    sentence: str
    at: Service

    def __str__(self) -> str:
        return self.sentence


@dataclass
class Journey:
    """One fact's way: `begin` brings it about, the hops follow. `times` are seconds since then, hop by hop."""

    title: str
    begin: Callable[[], Awaitable[None]]
    hops: Sequence[Hop]
    times: list[float] = field(default_factory=list)
    begun: bool = False
    failure: HopMissing | None = None

    async def follow(self) -> None:
        """Begin and see every hop, up to the first that is missed: then `failure` is set."""
        self.begun = True
        started = time.monotonic()
        try:
            await self.begin()
        except (*AWAY, stripe.StripeError) as error:
            self.failure = HopMissing(f"{self.title} could not even begin: {error!r}.", self.hops[0].at)
            return
        for hop in self.hops:
            sight = await _look_for(hop)
            if not sight.seen:
                self.failure = HopMissing(f"{self.title}: {hop.missed} within {HOP_SECONDS:.0f} s{sight.why}.", hop.at)
                return
            self.times.append(time.monotonic() - started)


@dataclass(frozen=True)
class _Sight:
    """Whether a hop was seen, and what came in the way of looking."""

    seen: bool
    why: str = ""


async def _look_for(hop: Hop) -> _Sight:
    deadline = time.monotonic() + HOP_SECONDS
    why = ""
    while time.monotonic() < deadline:
        try:
            if await hop.seen():
                return _Sight(seen=True)
        except AWAY as error:
            why = f" ({error!r})"
        await asyncio.sleep(_POLL_SECONDS)
    return _Sight(seen=False, why=why)
