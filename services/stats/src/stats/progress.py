"""The progress of a rebuild: a bar with rate and time left on a terminal, plain lines otherwise."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from time import monotonic

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from shared.cli import console
from stats.service.bulk import Progress as Doing
from stats.service.slices import PASSES

_REFRESH_SECONDS = 0.2
_LINE_SECONDS = 5.0
_WINDOW_SECONDS = 30.0


@asynccontextmanager
async def showing(doing: Doing) -> AsyncIterator[None]:
    """Show progress while the block runs."""
    shower = asyncio.create_task(_bar(doing) if console.is_terminal else _lines(doing))
    try:
        yield
    finally:
        shower.cancel()
        with suppress(asyncio.CancelledError):
            await shower


async def _bar(doing: Doing) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[speed]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=None, speed="")
        meter = Meter(doing)
        while True:
            progress.update(
                task, description=_what(doing), total=doing.total or None, completed=doing.done, speed=meter.reading()
            )
            await asyncio.sleep(_REFRESH_SECONDS)


async def _lines(doing: Doing) -> None:
    meter, last, said = Meter(doing), "", 0.0
    while True:
        reading = meter.reading()
        if doing.phase and (_what(doing) != last or monotonic() - said >= _LINE_SECONDS):
            last, said = _what(doing), monotonic()
            console.print(f"{_what(doing)}{_share(doing)} {reading}".rstrip(), highlight=False, soft_wrap=True)
        await asyncio.sleep(_REFRESH_SECONDS)


def _what(doing: Doing) -> str:
    resumed = " (going on)" if doing.resumed else ""
    return f"{doing.phase}{resumed}{', ' + doing.note if doing.note else ''}"


def _share(doing: Doing) -> str:
    return f": {doing.done / doing.total:.0%}" if doing.phase == "bulk" and doing.total else ""


class Meter:
    """Rate of the bulk over the last half minute, in events (each once, although every pass reads it); what is left."""

    def __init__(self, doing: Doing) -> None:
        self._doing = doing
        self._seen: deque[tuple[float, int]] = deque()

    def reading(self) -> str:
        now, done = monotonic(), self._doing.done
        if self._doing.phase != "bulk" or self._doing.note == "paused":
            self._seen.clear()
            return ""
        self._seen.append((now, done))
        while now - self._seen[0][0] > _WINDOW_SECONDS:
            self._seen.popleft()
        began, first = self._seen[0]
        if done == first:
            return ""
        rate = (done - first) / len(PASSES) / (now - began)
        left = timedelta(seconds=round((self._doing.total - done) / len(PASSES) / rate))
        return f"{rate:,.0f} events/s, {left} to go"
