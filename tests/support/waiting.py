"""Bounded waiting for a condition, instead of sleeping and hoping."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    condition: Callable[[], Awaitable[T]], *, seconds: float = 30, every: float = 0.02, what: str = ""
) -> T:
    """Return the first truthy answer of ``condition``; fail with the last answer after ``seconds``."""
    deadline = monotonic() + seconds
    while True:
        answer = await condition()
        if answer:
            return answer
        if monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}; last answer {answer!r}")
        await asyncio.sleep(every)
