"""What the running gateway does for a move: tells how far it is."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import prometheus_client
import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.history.figures import Sparing
from shared.database import is_transient
from shared.service import Service

log = structlog.get_logger(__name__)

_EVERY_SECONDS = 5.0

ITEMS = prometheus_client.Gauge("history_bookings", "Bookings of the import, by outcome", ["outcome"])
WAITING = prometheus_client.Gauge("history_waiting", "Bookings told and not yet at their end, by stage", ["stage"])
RUNNING = prometheus_client.Gauge("history_import_running", "1 while an import or a rollback is under way")
HEARTBEAT = prometheus_client.Gauge("history_heartbeat_age_seconds", "Since the importing process last gave a sign")
WAITS = prometheus_client.Gauge("history_import_waits", "1 while an import gives a reason why it stands still")
STOPPED = prometheus_client.Gauge(
    "history_import_stopped", "1 while an import is in a state it does not leave", ["state"]
)
SET_ASIDE = prometheus_client.Gauge("history_set_aside_open", "Rows nobody decided on yet")
DRIFT = prometheus_client.Gauge("history_failed_checks", "Checks that failed when last verified")

_MEASURE = text(
    """
    SELECT state IN ('running', 'rolling_back') AS running,
           extract(epoch FROM clock_timestamp() - heartbeat_at) AS silent,
           state = 'running' AND remark IS NOT NULL AS waits, state
    FROM import_run WHERE state <> 'rolled_back' ORDER BY id DESC LIMIT 1
    """
)
# Changes with whatever the ledger changes by: a run, or somebody's decision.
_MARK = text(
    """
    SELECT (SELECT concat_ws(' ', id, state, heartbeat_at) FROM import_run ORDER BY id DESC LIMIT 1) AS run,
           (SELECT max(id) FROM import_decision) AS decision
    """
)
_OUTCOMES = text("SELECT outcome, count(*) AS rows FROM import_item GROUP BY outcome")
_WAITING = text(
    """
    SELECT count(*) FILTER (WHERE link_outcome = 'waiting') AS links,
           count(*) FILTER (WHERE payment_outcome = 'waiting') AS payments FROM import_ledger
    """
)
# Of the run there is. What waits for people (V12, V13) is no drift, and has an alert of its own.
_FAILED = text(
    """
    SELECT (SELECT count(*) FROM json_array_elements(evidence -> 'checks') c
            WHERE NOT CAST(c ->> 'passed' AS boolean) AND c ->> 'name' NOT IN ('V12', 'V13'))
    FROM migration_step
    WHERE step = 'verify' AND done_at >= (SELECT started_at FROM import_run WHERE state <> 'rolled_back')
    ORDER BY id DESC LIMIT 1
    """
)
_STOPPED = ("paused", "failed")
_EVERY_OUTCOME = ("published", "set_aside", "waived", "withdrawn")


async def run(service: Service) -> None:
    """Look after a move until cancelled."""
    gauges = Gauges(service.engine)
    while True:
        try:
            await gauges.look()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("history_worker_interrupted", error=type(error).__name__)
        await asyncio.sleep(_EVERY_SECONDS)


@dataclass(slots=True)
class Gauges:
    """Keeps the gauges true. Costs a small query while there is no move, or nothing changes its ledger.

    ``sparing`` is when the ledger may be counted again.
    """

    engine: AsyncEngine
    sparing: Sparing = field(default_factory=Sparing)
    _settled: Row[Any] | None = None

    async def look(self) -> None:
        """Tell how the run is; count the ledger when it may have changed, and that is due."""
        mark = await _look(self.engine)
        if mark != self._settled and self.sparing.is_due:
            started = time.monotonic()
            self._settled = mark if await _count(self.engine) else None
            self.sparing.looked(started)


async def _look(engine: AsyncEngine) -> Row[Any]:
    """Tell how the run is; return a mark that stays the same while nothing changes the ledger."""
    async with engine.begin() as connection:
        row = (await connection.execute(_MEASURE)).one_or_none()
        RUNNING.set(bool(row and row.running))
        HEARTBEAT.set(row.silent if row and row.running else 0)
        WAITS.set(bool(row and row.waits))
        for state in _STOPPED:
            STOPPED.labels(state).set(bool(row and row.state == state))
        DRIFT.set((await connection.execute(_FAILED)).scalar_one_or_none() or 0)
        return (await connection.execute(_MARK)).one()


async def _count(engine: AsyncEngine) -> bool:
    """Count the ledger; return whether every booking in it has reached its end."""
    async with engine.connect() as connection:
        outcomes = {row.outcome: row.rows for row in await connection.execute(_OUTCOMES)}
        waiting = (await connection.execute(_WAITING)).one()
    SET_ASIDE.set(outcomes.get("set_aside", 0))
    for outcome in _EVERY_OUTCOME:
        ITEMS.labels(outcome).set(outcomes.get(outcome, 0))
    WAITING.labels("links").set(waiting.links)
    WAITING.labels("payments").set(waiting.payments)
    return not waiting.links and not waiting.payments
