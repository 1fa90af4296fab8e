"""Show what the services print, as it comes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from local_stack.waiting import POLL_SECONDS

_LINES_BEFORE = 40


def follow(log: Path, *, until: Callable[[], bool]) -> Iterator[str]:
    """Yield the last lines of `log`, then new ones as they come, until `until()` is true and all is read."""
    with log.open(errors="replace") as file:
        yield from file.readlines()[-_LINES_BEFORE:]
        while True:
            ended = until()
            yield from iter(file.readline, "")
            if ended:
                return
            time.sleep(POLL_SECONDS * 10)
