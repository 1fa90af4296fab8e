"""Reconcile: ask Stripe what happened, and take in what never arrived. A second run changes nothing.

1. List Events, newest first, between a lower bound (the last complete run less an overlap, events surface late) and an
   upper bound fixed before the first page; what is not stored yet is stored as a delivery and processed.
2. Lists of the objects created in that time, the refunds of those charges, and every object that may still change by
   what is known here: events older than 30 days are gone, and some are never generated.

The next run's lower bound moves only when both walks came to their end, and began no later than it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.errors import AlreadyReconciling
from payments.service.fetch_objects import Fetcher
from payments.service.process_events import EventProcessor
from payments.service.reconcile_events import take_missed_events
from payments.service.reconcile_objects import ObjectWalk
from payments.service.reconcile_report import Report
from payments.stripe_gateway import StripeApi

log = structlog.get_logger(__name__)

EVENTS_KEPT = timedelta(days=30)  # https://docs.stripe.com/api/events/list
_RECONCILING = 7_301_955_102

_MARK = text("SELECT max(until) AS until, max(finished_at) AS finished_at FROM reconcile_run")
_FINISH = text(
    """
    INSERT INTO reconcile_run (since, until, started_at, report)
    VALUES (:since, :until, :until, CAST(:report AS json))
    """
)
_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = text("SELECT pg_advisory_unlock(:key)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Everything a run needs. ``overlap`` is how far before the last complete run it starts."""

    engine: AsyncEngine
    api: StripeApi
    processor: EventProcessor
    walk: ObjectWalk
    fetcher: Fetcher
    overlap: timedelta

    async def run(self, *, since: datetime | None = None, dry_run: bool = False) -> Report:
        """Compare with Stripe from ``since`` (or the last complete run) until now; a dry run writes nothing.

        Commits as it goes; may be interrupted and repeated. Raises :class:`AlreadyReconciling`,
        :class:`payments.errors.StripeAway` and :class:`payments.errors.StripeRefused`.
        """
        async with self._alone(needed=not dry_run):
            until = datetime.now(UTC).replace(microsecond=0)
            due = await self._since(until)
            report = Report(since=since or due, until=until, dry_run=dry_run)
            await take_missed_events(self.engine, self.api, report)
            while not dry_run and await self.processor.process_due():
                pass
            await self.walk.run(report)
            if not dry_run:
                while await self.fetcher.fetch_due():
                    pass
                if report.since <= due:  # else the time before it, which nobody looked at, would be behind the mark
                    await self._finish(report)
        log.info("reconciled", dry_run=dry_run, events=len(report.events), objects=len(report.objects))
        return report

    async def last_finished(self) -> datetime | None:
        """Return when the last complete run ended."""
        async with self.engine.connect() as connection:
            finished: datetime | None = (await connection.execute(_MARK)).one().finished_at
            return finished

    async def _since(self, until: datetime) -> datetime:
        async with self.engine.connect() as connection:
            mark = (await connection.execute(_MARK)).one().until
        return until - EVENTS_KEPT if mark is None else mark - self.overlap

    async def _finish(self, report: Report) -> None:
        values = {"since": report.since, "until": report.until, "report": to_json(report.summary()).decode()}
        async with self.engine.begin() as connection:
            await connection.execute(_FINISH, values)

    @asynccontextmanager
    async def _alone(self, *, needed: bool) -> AsyncIterator[None]:
        """Hold a lock of the session, outside any transaction: nothing else waits for a long walk."""
        if not needed:
            yield
            return
        async with self.engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            if not (await connection.execute(_TRY_LOCK, {"key": _RECONCILING})).scalar_one():
                raise AlreadyReconciling
            try:
                yield
            finally:
                await connection.execute(_UNLOCK, {"key": _RECONCILING})
