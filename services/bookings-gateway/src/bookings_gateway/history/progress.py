"""How far it is: counts that sum to the total, the rate, and when it may end. Rate and end are ranges, not promises."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.history import runs
from bookings_gateway.history.pace import in_words, pace
from bookings_gateway.history.source import TOLD_LIVE, Source

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
           (SELECT count(DISTINCT booking_id) FROM import_review WHERE decided_by IS NULL) AS in_review
    FROM import_ledger
    """
)
# Live-born rows were told as they were made; whatever else is not in the ledger is left to do.
_LEFT = f"""
    WITH untold AS MATERIALIZED (
        SELECT CAST(b.{{id}} AS text) AS id FROM {{table}} b
        WHERE NOT EXISTS (SELECT FROM gateway.import_item i
                          WHERE i.booking_id = CAST(b.{{id}} AS text) AND i.outcome <> 'withdrawn')
    )
    SELECT (SELECT count(*) FROM {{table}}) AS rows, (SELECT count(*) FROM untold) AS untold,
           (SELECT count(*) FROM untold u WHERE {TOLD_LIVE.replace("<subject>", "u.id")}) AS told_live
"""  # noqa: S608
# Told once, and removed by live writers since; by what had become of them.
_GONE = """
    SELECT i.outcome, count(*) AS rows FROM gateway.import_item i
    WHERE i.outcome <> 'withdrawn' AND NOT EXISTS (SELECT FROM {table} b WHERE CAST(b.{id} AS text) = i.booking_id)
    GROUP BY i.outcome
"""
_QUEUED = text("SELECT (SELECT count(*) FROM outbox) AS outbox, (SELECT count(*) FROM booking_change) AS uncaptured")


@dataclass(frozen=True, slots=True)
class Counted:
    """How many bookings are how far. done + told live + set aside + waived + left is the table's total, always.

    ``gone``: of ``stages``, those the table has no longer, by outcome; they count to no total.
    """

    total: int
    told_live: int
    left: int
    stages: Mapping[str, int]
    gone: Mapping[str, int]

    def there(self, outcome: str) -> int:
        """How many of an outcome the table still has."""
        return self.stages[outcome] - self.gone.get(outcome, 0)


@dataclass(frozen=True, slots=True)
class Status:
    """Where the move stands."""

    state: str
    remark: str | None
    heartbeat_seconds: float | None
    started_at: datetime | None
    finished_at: datetime | None
    counted: Counted
    queued: Mapping[str, int]
    rows_per_second: float | None
    eta_seconds: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        """Return the status in the words of the API."""
        stages = self.counted.stages
        return {
            "state": self.state,
            "remark": self.remark,
            "heartbeatSeconds": self.heartbeat_seconds and round(self.heartbeat_seconds, 1),
            "startedAt": self.started_at and self.started_at.isoformat(),
            "finishedAt": self.finished_at and self.finished_at.isoformat(),
            "totalBookings": self.counted.total,
            "bookings": {
                "done": self.counted.there("published"),
                "toldLive": self.counted.told_live,
                "setAside": self.counted.there("set_aside"),
                "waived": self.counted.there("waived"),
                "left": self.counted.left,
            },
            "gone": sum(self.counted.gone.values()),
            "links": {
                "linked": stages["linked"],
                "waiting": stages["published"] - stages["linked"],
            },
            "payments": {
                "recorded": stages["recorded"],
                "payNothing": stages["pays_nothing"],
                "waiting": stages["payment_waiting"],
            },
            "inReview": stages["in_review"],
            "queued": dict(self.queued),
            "rowsPerSecond": self.rows_per_second and round(self.rows_per_second, 1),
            "etaSeconds": self.eta_seconds and [round(seconds) for seconds in self.eta_seconds],
        }

    @property
    def settled(self) -> bool:
        """Whether every booking told has reached its end at users and payments."""
        waiting = (
            self.counted.stages["published"] - self.counted.stages["linked"] + self.counted.stages["payment_waiting"]
        )
        return self.state == "imported" and not waiting and not self.queued["outbox"]

    @property
    def pace(self) -> str:
        """Rate and time left as words."""
        return in_words(self.rows_per_second, self.eta_seconds)


async def count(connection: AsyncConnection, source: Source) -> Counted:
    """Go through table and ledger."""
    run = await runs.current(connection)
    stages = dict((await connection.execute(_STAGES)).mappings().one())
    since = run["started_at"] if run else _FAR
    left = (await connection.execute(source.statement(_LEFT), {"since": since})).one()
    entered = stages["published"] + stages["set_aside"] + stages["waived"]
    is_gone = entered > left.rows - left.untold
    found = await connection.execute(source.statement(_GONE)) if is_gone else ()
    return Counted(
        total=left.rows,
        told_live=left.told_live,
        left=left.untold - left.told_live,
        stages=stages,
        gone={row.outcome: row.rows for row in found},
    )


async def status(connection: AsyncConnection, source: Source, counted: Counted | None = None) -> Status:
    """Return where the move stands, by what was counted before or is counted now."""
    counted = counted or await count(connection, source)
    run = await runs.current(connection)
    queued = dict((await connection.execute(_QUEUED)).mappings().one())
    rate, eta = await pace(connection, run["id"], total=counted.total, left=counted.left) if run else (None, None)
    return Status(
        state=_state(run),
        remark=run["remark"] if run else None,
        heartbeat_seconds=float(run["silent_seconds"]) if run else None,
        started_at=run["started_at"] if run else None,
        finished_at=run["finished_at"] if run else None,
        counted=counted,
        queued=queued,
        rows_per_second=rate,
        eta_seconds=eta,
    )


_FAR = datetime(9999, 1, 1, tzinfo=UTC)


def _state(run: Any) -> str:  # noqa: ANN401 - a row
    """A run that says it runs and gives no sign of life was interrupted."""
    if run is None:
        return "new"
    is_silent = run["state"] in {"running", "rolling_back"} and not runs.is_alive(run)
    return "interrupted" if is_silent else str(run["state"])
