"""The frame a service stands in: engine, outbox relay, consumers, health, started and stopped in order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy.exc
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import inbox, metrics
from shared.consumer import Consumer, Handler
from shared.database import create_engine, is_transient
from shared.dead_letters import DeadLetters
from shared.failures import Failures
from shared.health import Health, OutboxCheck, database_check
from shared.messaging import Messaging
from shared.publisher import Publisher, RabbitPublisher
from shared.relay import Relay
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

Background = Callable[["Service"], Coroutine[Any, Any, None]]


class Service:
    """One service's moving parts.

    ``bindings`` are the routing keys it consumes, ``publishes`` the event types it sends, ``handler`` is its message
    door, ``background`` its own workers.
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
        self.committed = Signal()
        self.topology = Topology(name, bindings, settings.retry_tiers)
        self.publisher: Publisher = RabbitPublisher(settings.broker_url)
        self._failures_publisher = RabbitPublisher(settings.broker_url)
        self.relay = Relay(self.engine, self.publisher, self.committed)
        self.dead_letters = DeadLetters(self.engine)
        self.handler = handler(self)
        self.messaging = self._messaging(self.handler)
        self.tasks = Tasks()
        self.health = Health(
            {
                "database": database_check(self.engine),
                "broker": self.messaging.health,
                "outbox": OutboxCheck(self.engine),
                "tasks": self.tasks.health,
            }
        )
        self._background = background or {}

    def _messaging(self, handler: Handler) -> Messaging:
        failures = Failures(self.topology, self._failures_publisher)
        live, bulk = (
            Consumer(
                queue=queue,
                engine=self.engine,
                handler=handler,
                failures=failures,
                after_commit=self.committed.set,
                bulk=queue == self.topology.bulk,
            )
            for queue in (self.topology.events, self.topology.bulk)
        )
        return Messaging(self.settings.broker_url, self.topology, live, bulk, self.dead_letters)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run until the block ends. Consumers stop first, then the relay, so that nothing is left half way."""
        self.tasks.start("relay", self.relay.run)
        if isinstance(self.handler, inbox.InboxHandler):
            self.tasks.start("forget", self._forget)
        for name, work in self._background.items():
            self.tasks.start(name, partial(work, self))
        self.tasks.start("consume", self.messaging.live.run)
        self.tasks.start("consume-bulk", self.messaging.bulk.run)
        self.tasks.start("messaging", self.messaging.run)
        log.info("service_started", service=self.name)
        try:
            yield
        finally:
            await self.tasks.stop()
            await self.publisher.aclose()
            await self._failures_publisher.aclose()
            await self.engine.dispose()

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
