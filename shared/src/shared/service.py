"""The frame a service stands in: engine, outbox relay, consumers, health, started and stopped in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Protocol

import sqlalchemy.exc
import structlog
from prometheus_client import REGISTRY, Metric
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import inbox, metrics
from shared.consumer import Handler
from shared.database import create_engine, is_transient
from shared.dead_letters import DeadLetters
from shared.failures import Failures
from shared.health import Health, OutboxCheck, database_check
from shared.lane import Lane
from shared.messaging import Messaging
from shared.publisher import Publisher, RabbitPublisher
from shared.settings import ServiceSettings
from shared.signal import Signal
from shared.tasks import Tasks
from shared.topology import Topology

log = structlog.get_logger(__name__)

_MEASURE = text(
    """
    SELECT (SELECT count(*) FROM outbox) AS rows,
           (SELECT extract(epoch FROM now() - min(l.recorded_at)) FROM (SELECT seq FROM outbox ORDER BY seq LIMIT 1) o
            JOIN event_log l USING (seq)) AS age,
           (SELECT count(*) FROM dead_letter WHERE state = 'open') AS dead,
           (SELECT extract(epoch FROM now() - min(xact_start)) FROM pg_stat_activity
            WHERE backend_xid IS NOT NULL) AS fence
    """
)
_FORGET_EVERY = 3600.0

Background = Callable[["Service"], Awaitable[None]]


class Metrics(Protocol):
    """What is told to Prometheus."""

    def collect(self) -> Iterable[Metric]: ...


class Other(Metrics, Protocol):
    """The process that has the bulk lane, as seen from here: to be listened to, and what it says."""

    async def run(self) -> None: ...

    async def health(self) -> str | None: ...


class Service:
    """One service's moving parts.

    ``bindings`` are the routing keys it consumes, ``publishes`` the event types it sends, ``handler`` is its message
    door, ``background`` its own workers. Its two lanes may be in two processes (see ``bulk_process``).
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        name: str,
        bindings: tuple[str, ...],
        publishes: tuple[str, ...] = (),
        handler: Callable[["Service"], Handler],
        background: dict[str, Background] | None = None,
        search_path: str | None = None,
    ) -> None:
        self.name = name
        self.source = f"/{name}"
        self.settings = settings
        self.publishes = publishes
        self.engine = create_engine(
            settings.database_url.get_secret_value(),
            name=name,
            pool_size=settings.database_pool,
            search_path=search_path,
        )
        self.topology = Topology(name, bindings, settings.retry_tiers)
        self._failures_publisher = RabbitPublisher(settings.broker_url)
        self.dead_letters = DeadLetters(self.engine)
        self.handler = handler(self)
        self.live = self._lane(self.topology.events, bulk=False)
        self.bulk = self._lane(self.topology.bulk, bulk=True)
        self.tasks = Tasks()
        self.metrics: Metrics = REGISTRY
        self._background = {} if background is None else background
        self.take_lanes(self.live, self.bulk)
        self.health = Health(
            {
                "database": database_check(self.engine),
                "broker": lambda: self.messaging.health(),
                "outbox": OutboxCheck(self.engine),
                "tasks": self.tasks.health,
            }
        )

    def _lane(self, queue: str, *, bulk: bool) -> Lane:
        failures = Failures(self.topology, self._failures_publisher)
        publisher = RabbitPublisher(self.settings.broker_url)
        return Lane.of(self.engine, publisher, self.handler, failures, queue=queue, bulk=bulk)

    def take_lanes(self, *lanes: Lane) -> None:
        """Say which lanes this process runs: both, unless another process has the bulk lane. To be said before it runs.

        The process with the live lane also has the service's own workers and keeps its dead letters.
        """
        self._lanes = lanes
        self.messaging = self._messaging(*lanes, dead_letters=self.dead_letters if self.live in lanes else None)

    def _messaging(self, *lanes: Lane, dead_letters: DeadLetters | None = None) -> Messaging:
        consumers = [lane.consumer for lane in lanes]
        return Messaging(self.settings.broker_url, self.topology, consumers, dead_letters)

    @property
    def committed(self) -> Signal:
        """Wakes who sends live events."""
        return self.live.committed

    @property
    def publisher(self) -> Publisher:
        """What sends live events."""
        return self.live.publisher

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run until the block ends. Consumers stop first, then the relays, so that nothing is left half way."""
        for lane in self._lanes:
            lane.start_sending(self.tasks)
        if self.live in self._lanes:
            self._start_background()
        for lane in self._lanes:
            lane.start_consuming(self.tasks)
        self.tasks.start("messaging", self.messaging.run)
        log.info("service_started", service=self.name, lanes=[lane.name for lane in self._lanes])
        try:
            yield
        finally:
            await self.tasks.stop()
            for publisher in (self.live.publisher, self.bulk.publisher, self._failures_publisher):
                await publisher.aclose()
            await self.engine.dispose()

    def _start_background(self) -> None:
        if isinstance(self.handler, inbox.InboxHandler):
            self.tasks.start("forget", self._forget)
        for name, work in self._background.items():
            self.tasks.start(name, partial(work, self))

    def leave_bulk_to(self, other: "Other") -> None:
        """Leave the bulk lane to another process. To be said before it runs."""
        self.take_lanes(self.live)
        self._background["bulk-process"] = lambda _: other.run()
        self.health.checks["bulk"] = other.health
        self.metrics = other

    async def trouble(self) -> str | None:
        """Return all that is wrong in one line, or ``None``."""
        report = await self.health.report()
        return "; ".join(f"{part}: {problem}" for part, problem in report.items() if problem) or None

    def take_over(self, lane: Lane) -> None:
        """Run a lane here, beside what already runs: the process that had it is gone."""
        lane.start_sending(self.tasks)
        lane.start_consuming(self.tasks)
        self.tasks.start(f"messaging-{lane.name}", self._messaging(lane).run)

    async def measure(self) -> None:
        """Bring the gauges that need a query up to date; an absent database leaves them as they were."""
        try:
            async with self.engine.connect() as connection:
                row = (await connection.execute(_MEASURE)).one()
        except (OSError, sqlalchemy.exc.SQLAlchemyError) as error:
            log.warning("measure_failed", error=repr(error))
            return
        metrics.OUTBOX_ROWS.set(row.rows)
        metrics.OUTBOX_AGE.set(row.age or 0)
        metrics.DEAD_LETTERS.set(row.dead)
        metrics.FENCE_AGE.set(row.fence or 0)

    async def _forget(self) -> None:
        """Remove ids of events applied long ago, hour by hour."""
        retention = timedelta(days=self.settings.inbox_retention_days)
        while True:
            try:
                await forget_old(self.engine, retention)
            except sqlalchemy.exc.SQLAlchemyError as error:
                if not is_transient(error):
                    raise
            await asyncio.sleep(_FORGET_EVERY)


async def forget_old(engine: AsyncEngine, retention: timedelta) -> None:
    """Remove applied-event ids older than ``retention``, in short transactions."""
    while True:
        async with engine.begin() as connection:
            if not await inbox.forget(connection, retention):
                return
