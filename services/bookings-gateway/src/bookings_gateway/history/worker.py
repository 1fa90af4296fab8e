"""What the running gateway does for a move: tells how far it is."""

import asyncio
import time

import prometheus_client
import structlog
from sqlalchemy import text

from bookings_gateway.history.figures import Sparing
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
    settled, sparing = False, Sparing()
    while True:
        try:
            is_moving = await _look(service)
            if (is_moving or not settled) and sparing.is_due:
                started = time.monotonic()
                settled = await _count(service)
                sparing.looked(started)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("history_worker_interrupted", error=type(error).__name__)
        await asyncio.sleep(_EVERY_SECONDS)


async def _look(service: Service) -> bool:
    """Tell how the run is, and whether a process goes on with it."""
    async with service.engine.begin() as connection:
        row = (await connection.execute(_MEASURE)).one_or_none()
        RUNNING.set(bool(row and row.running))
        HEARTBEAT.set(row.silent if row and row.running else 0)
        DRIFT.set((await connection.execute(_FAILED)).scalar_one_or_none() or 0)
    return bool(row and row.running)


async def _count(service: Service) -> bool:
    """Count the ledger; return whether every booking in it has reached its end."""
    async with service.engine.connect() as connection:
        outcomes = {row.outcome: row.rows for row in await connection.execute(_OUTCOMES)}
        waiting = (await connection.execute(_WAITING)).one()
    SET_ASIDE.set(outcomes.get("set_aside", 0))
    for outcome, rows in outcomes.items():
        ITEMS.labels(outcome).set(rows)
    WAITING.labels("links").set(waiting.links)
    WAITING.labels("payments").set(waiting.payments)
    return not waiting.links and not waiting.payments
