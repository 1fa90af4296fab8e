"""Long computations on the event loop, with a turn for everybody else in between."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")

_TURN = 20  # items of some fifty microseconds: a request waits a millisecond, not the fifty of a whole group


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items, letting requests have their turn now and then."""
    for position, item in enumerate(items, start=1):
        yield item
        if position % _TURN == 0:
            await asyncio.sleep(0)
