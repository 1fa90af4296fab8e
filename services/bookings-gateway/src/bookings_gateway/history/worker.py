"""What the running gateway does for a move: tells how far it is."""

import asyncio

import prometheus_client
import structlog
from sqlalchemy import text

from shared.database import is_transient
from shared.service import Service

log = structlog.get_logger(__name__)

_EVERY_SECONDS = 5.0

ITEMS = prometheus_client.Gauge("history_bookings", "Bookings of the import, by outcome", ["outcome"])
WAITING = prometheus_client.Gauge("history_waiting", "Bookings told and not yet at their end, by stage", ["stage"])
RUNNING = prometheus_client.Gauge("history_import_running", "1 while an import or a rollback is under way")
HEARTBEAT = prometheus_client.Gauge("history_heartbeat_age_seconds", "Since the importing process last gave a sign")
SET_ASIDE = prometheus_client.Gauge("history_set_aside_open", "Rows nobody decided on yet")
DRIFT = prometheus_client.Gauge("history_failed_checks", "Checks that failed when last verified")

_MEASURE = text(
    """
    SELECT state IN ('running', 'rolling_back') AS running,
           extract(epoch FROM clock_timestamp() - heartbeat_at) AS silent
    FROM import_run WHERE state <> 'rolled_back' ORDER BY id DESC LIMIT 1
    """
)
_OUTCOMES = text("SELECT outcome, count(*) AS rows FROM import_item GROUP BY outcome")
_WAITING = text(
    """
    SELECT count(*) FILTER (WHERE link_outcome = 'waiting') AS links,
           count(*) FILTER (WHERE payment_outcome = 'waiting') AS payments FROM import_ledger
    """
)
_FAILED = text(
    """
    SELECT (SELECT count(*) FROM json_array_elements(evidence -> 'checks') c WHERE NOT CAST(c ->> 'passed' AS boolean))
    FROM migration_step WHERE step = 'verified' ORDER BY id DESC LIMIT 1
    """
)


async def run(service: Service) -> None:
    """Look after a move until cancelled. Costs one small query while there is none, or it has ended."""
    settled = False
    while True:
        try:
            settled = await _look(service, settled=settled)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("history_worker_interrupted", error=type(error).__name__)
        await asyncio.sleep(_EVERY_SECONDS)


async def _look(service: Service, *, settled: bool) -> bool:
    async with service.engine.begin() as connection:
        row = (await connection.execute(_MEASURE)).one_or_none()
        RUNNING.set(bool(row and row.running))
        HEARTBEAT.set(row.silent if row and row.running else 0)
        failed = (await connection.execute(_FAILED)).scalar_one_or_none()
        DRIFT.set(failed or 0)
        if settled and not (row and row.running):
            return True
        SET_ASIDE.set(0)
        for outcome in await connection.execute(_OUTCOMES):
            ITEMS.labels(outcome.outcome).set(outcome.rows)
            if outcome.outcome == "set_aside":
                SET_ASIDE.set(outcome.rows)
        if row is None:
            return True
        waiting = (await connection.execute(_WAITING)).one()
        WAITING.labels("links").set(waiting.links)
        WAITING.labels("payments").set(waiting.payments)
        return not row.running and not waiting.links and not waiting.payments
