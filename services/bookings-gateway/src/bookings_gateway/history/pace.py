"""How fast it goes and when it may end: of a run as the ledger knows it, and of the import of this very process."""

import time
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Pace = tuple[float | None, tuple[float, float] | None]

_RECENT_CHUNKS = 30
_FIRST_SHARE = 0.01
_LINE_SECONDS = 10.0

# From the beginning of the first to the end of the last; what was before the run went on, and the pause till then, says
# nothing of how fast it goes now.
_RATES = text(
    """
    SELECT min(done_at - took_ms * interval '1 millisecond') AS first, max(done_at) AS last, sum(rows) AS rows,
           count(*) AS chunks
    FROM (
        SELECT c.* FROM import_chunk c JOIN import_run r ON r.id = c.run_id
        WHERE c.run_id = :run AND c.done_at >= coalesce(r.resumed_at, r.started_at)
        ORDER BY c.done_at DESC LIMIT :chunks
    ) c
    """
)


async def pace(connection: AsyncConnection, run: int, *, total: int, left: int) -> Pace:
    """Return rows per second lately, and in which range of seconds what is left may be done."""
    row = (await connection.execute(_RATES, {"run": run, "chunks": _RECENT_CHUNKS})).one()
    if row.chunks < 2 or row.last <= row.first:
        return None, None
    rate = float(row.rows) / ((row.last - row.first) / timedelta(seconds=1))
    if not left or left > total * (1 - _FIRST_SHARE):
        return rate, None
    return rate, _range(left / rate)


def _range(seconds: float) -> tuple[float, float]:
    """An estimate is a range: what slows an import down later is not known yet."""
    return seconds * 0.8, seconds * 1.5


def in_words(rate: float | None, eta: tuple[float, float] | None) -> str:
    if not rate:
        return ""
    return f"{rate:,.0f}/s" + (f", {_time(eta[0])} to {_time(eta[1])} left" if eta else "")


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


class Watch:
    """The pace of one process's import, by its own clock."""

    def __init__(self, total: int, done: int) -> None:
        self._total = total
        self._begun = self.done = done
        self._started = self._line = time.monotonic()

    def add(self, rows: int) -> None:
        """Take a chunk into account."""
        self.done += rows

    @property
    def pace(self) -> str:
        seconds = time.monotonic() - self._started
        rate = (self.done - self._begun) / seconds if seconds else None
        left = self._total - self.done
        has_eta = rate and left > 0 and self.done - self._begun > self._total * _FIRST_SHARE
        return in_words(rate, _range(left / rate) if rate and has_eta else None)

    def is_line_due(self) -> bool:
        """Whether it is time for another line where there is no screen."""
        if time.monotonic() - self._line < _LINE_SECONDS:
            return False
        self._line = time.monotonic()
        return True
