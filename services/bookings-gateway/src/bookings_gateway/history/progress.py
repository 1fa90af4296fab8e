"""How far it is: counts that sum to the total, the rate, and when it may end. Rate and end are ranges, not promises."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.history import runs
from bookings_gateway.history.source import Source

_RECENT_CHUNKS = 30
_FIRST_SHARE = 0.01
_LINE_SECONDS = 10.0

_STAGES = text(
    """
    SELECT count(*) FILTER (WHERE outcome = 'published') AS published,
           count(*) FILTER (WHERE outcome = 'set_aside') AS set_aside,
           count(*) FILTER (WHERE outcome = 'waived') AS waived,
           count(*) FILTER (WHERE outcome = 'withdrawn') AS withdrawn,
           count(*) FILTER (WHERE link_outcome = 'linked') AS linked,
           count(*) FILTER (WHERE payment_outcome = 'recorded') AS recorded,
           count(*) FILTER (WHERE outcome = 'published' AND payment_outcome NOT IN ('recorded', 'waiting'))
               AS pays_nothing,
           count(*) FILTER (WHERE payment_outcome = 'waiting') AS payment_waiting,
           count(*) FILTER (WHERE reviews <> '{}') AS in_review
    FROM import_ledger
    """
)
# Live-born rows were told as they were made; whatever else is not in the ledger is left to do.
_LEFT = """
    SELECT count(*) AS rows,
           count(*) FILTER (WHERE i.booking_id IS NULL AND EXISTS (
               SELECT FROM gateway.event_log l WHERE l.subject = CAST(b.{id} AS text) AND l.type = 'booking.created'
               AND l.recorded_at >= :since AND CAST(l.body #>> '{{data,imported}}' AS boolean) IS NOT TRUE
           )) AS told_live,
           count(*) FILTER (WHERE i.booking_id IS NULL) AS untold
    FROM {table} b
    LEFT JOIN gateway.import_item i ON i.booking_id = CAST(b.{id} AS text) AND i.outcome <> 'withdrawn'
"""
_RATES = text(
    """
    SELECT min(done_at) AS first, max(done_at) AS last, sum(rows) AS rows, count(*) AS chunks,
           min(1000.0 * rows / greatest(took_ms, 1)) AS slowest, max(1000.0 * rows / greatest(took_ms, 1)) AS fastest
    FROM (SELECT * FROM import_chunk WHERE run_id = :run ORDER BY done_at DESC LIMIT :chunks) c
    """
)
_QUEUED = text("SELECT (SELECT count(*) FROM outbox) AS outbox, (SELECT count(*) FROM booking_change) AS uncaptured")


@dataclass(frozen=True, slots=True)
class Status:
    """Where the move stands. done + told live + set aside + waived + left is the table's total, always."""

    state: str
    remark: str | None
    heartbeat_seconds: float | None
    started_at: datetime | None
    finished_at: datetime | None
    total: int
    told_live: int
    left: int
    stages: Mapping[str, int]
    queued: Mapping[str, int]
    rows_per_second: float | None
    eta_seconds: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        """Return the status in the words of the API."""
        return {
            "state": self.state,
            "remark": self.remark,
            "heartbeatSeconds": self.heartbeat_seconds and round(self.heartbeat_seconds, 1),
            "startedAt": self.started_at and self.started_at.isoformat(),
            "finishedAt": self.finished_at and self.finished_at.isoformat(),
            "totalBookings": self.total,
            "bookings": {
                "done": self.stages["published"],
                "toldLive": self.told_live,
                "setAside": self.stages["set_aside"],
                "waived": self.stages["waived"],
                "left": self.left,
            },
            "links": {"linked": self.stages["linked"], "waiting": self.stages["published"] - self.stages["linked"]},
            "payments": {
                "recorded": self.stages["recorded"],
                "payNothing": self.stages["pays_nothing"],
                "waiting": self.stages["payment_waiting"],
            },
            "inReview": self.stages["in_review"],
            "queued": dict(self.queued),
            "rowsPerSecond": self.rows_per_second and round(self.rows_per_second, 1),
            "etaSeconds": self.eta_seconds and [round(seconds) for seconds in self.eta_seconds],
        }

    @property
    def settled(self) -> bool:
        """Whether every booking told has reached its end at users and payments."""
        waiting = self.stages["published"] - self.stages["linked"] + self.stages["payment_waiting"]
        return self.state == "imported" and not waiting and not self.queued["outbox"]


async def status(connection: AsyncConnection, source: Source) -> Status:
    """Return where the move stands."""
    run = await runs.current(connection)
    stages = dict((await connection.execute(_STAGES)).mappings().one())
    queued = dict((await connection.execute(_QUEUED)).mappings().one())
    since = run["started_at"] if run else _FAR
    left = (await connection.execute(source.statement(_LEFT), {"since": since})).one()
    rate, eta = await _pace(connection, run["id"], left.rows, left.untold - left.told_live) if run else (None, None)
    return Status(
        state=_state(run),
        remark=run["remark"] if run else None,
        heartbeat_seconds=float(run["silent_seconds"]) if run else None,
        started_at=run["started_at"] if run else None,
        finished_at=run["finished_at"] if run else None,
        total=left.rows,
        told_live=left.told_live,
        left=left.untold - left.told_live,
        stages=stages,
        queued=queued,
        rows_per_second=rate,
        eta_seconds=eta,
    )


_SILENT = 20.0
_FAR = datetime(9999, 1, 1, tzinfo=UTC)


def _state(run: Any) -> str:  # noqa: ANN401 - a row
    """A run that says it runs and gives no sign of life was interrupted."""
    if run is None:
        return "new"
    is_silent = run["state"] in {"running", "rolling_back"} and run["silent_seconds"] > _SILENT
    return "interrupted" if is_silent else str(run["state"])


async def _pace(
    connection: AsyncConnection, run: int, total: int, left: int
) -> tuple[float | None, tuple[float, float] | None]:
    """Rows per second lately, and how long what is left takes at the slower and the faster half of it."""
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


def pace_of(status: Status) -> str:
    """Return rate and time left as words."""
    return _words(status.rows_per_second, status.eta_seconds)


def _words(rate: float | None, eta: tuple[float, float] | None) -> str:
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
        return _words(rate, _range(left / rate) if rate and has_eta else None)

    def is_line_due(self) -> bool:
        """Whether it is time for another line where there is no screen."""
        if time.monotonic() - self._line < _LINE_SECONDS:
            return False
        self._line = time.monotonic()
        return True
