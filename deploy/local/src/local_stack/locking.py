"""One command at a time works on a stack."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from local_stack.errors import AlreadyStarting
from local_stack.waiting import wait_until


@contextmanager
def only_one(path: Path, *, wait_seconds: float = 0) -> Iterator[None]:
    """Hold the lock file `path`; raises `AlreadyStarting` when another process still has it after `wait_seconds`.

    The kernel releases the lock when its holder ends, however it ends: there is no stale lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        if not wait_until(lambda: _locked(file), seconds=wait_seconds):
            raise AlreadyStarting(
                f"Another `up` or `down` is at work on this stack{_holder(file)}. "
                "Wait for it, or end it, and try again."
            )
        file.truncate(0)
        print(os.getpid(), file=file, flush=True)
        yield


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: TextIO) -> str:
    file.seek(0)
    pid = file.read().strip()
    return f" (process {pid})" if pid else ""
