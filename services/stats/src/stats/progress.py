"""The progress of a rebuild: a bar with rate and time left on a terminal, plain lines otherwise."""

import asyncio
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
        if _what(doing) != last or monotonic() - said >= _LINE_SECONDS:
            last, said = _what(doing), monotonic()
            share = doing.done / doing.total if doing.total else 0
            console.print(f"{_what(doing)}: {share:.0%} {meter.reading()}".rstrip(), highlight=False, soft_wrap=True)
        await asyncio.sleep(_REFRESH_SECONDS)


def _what(doing: Doing) -> str:
    resumed = " (going on)" if doing.resumed else ""
    return f"{doing.phase}{resumed}{', ' + doing.note if doing.note else ''}"


class Meter:
    """Rate since the display began, in events (each counts once although every pass reads it), and what is left."""

    def __init__(self, doing: Doing) -> None:
        self._doing = doing
        self._first = doing.done
        self._began = monotonic()

    def reading(self) -> str:
        done = self._doing.done - self._first
        elapsed = monotonic() - self._began
        if not done or elapsed < _REFRESH_SECONDS:
            return ""
        rate = done / len(PASSES) / elapsed
        left = timedelta(seconds=round((self._doing.total - self._doing.done) / len(PASSES) / rate))
        return f"{rate:,.0f} events/s, {left} to go"
