"""Bounded waits. Nothing here sleeps for a fixed time and hopes."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.03


def wait_until(condition: Callable[[], bool], *, seconds: float, every: float = POLL_SECONDS) -> bool:
    """Poll `condition` until it is true; returns False when `seconds` have passed without that."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True
