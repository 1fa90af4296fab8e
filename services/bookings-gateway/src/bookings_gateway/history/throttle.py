"""When the import has to wait: live work first. Says why in one sentence."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from prometheus_client.samples import Sample
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.history.errors import PartSilent, WatchEnded
from bookings_gateway.history.live import Live
from bookings_gateway.history.others import Others
from shared.database import is_transient

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
_PAUSE_SECONDS = 0.25
_WATCHED = {"bookings-gateway": "/api/admin/bookings", "payments": "/api/webhooks/stripe"}
_OUTBOX = text("SELECT count(*) FROM (SELECT FROM outbox LIMIT :most) o")
# A replica that is away has no row, and who may not see them (see pg_read_all_stats) sees no position: neither counts.
_REPLICA = text(
    """
    SELECT application_name AS name, CAST(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS bigint) AS bytes
    FROM pg_stat_replication WHERE replay_lsn IS NOT NULL ORDER BY bytes DESC LIMIT 1
    """
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too much: unsent events here, messages waiting at a consumer, milliseconds of a live request's p95,
    megabytes of changes a replica of the database has yet to apply, and how many times the usual p95 is.
    """

    outbox_rows: int = 20_000
    queue_messages: int = 1_000
    live_p95_ms: float = 250.0
    replica_lag_mb: int = 64
    live_times: float = 2.0


@dataclass(slots=True)
class Throttle:
    """Watches live latency and backlog. Without services that answer, it watches the database alone.

    ``waited``: seconds, by the kind of reason.
    """

    engine: AsyncEngine
    limits: Limits
    others: Others | None = None
    _live: dict[str, Live] = field(default_factory=dict)
    _reason: str | None = None
    _watcher: "asyncio.Task[None] | None" = None
    waited: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look again and again beside the import: looking must not cost it time."""
        self._watcher = task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._watcher = None

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:
                if not is_transient(error):
                    raise
                self._reason = None  # the import itself finds out what is wrong
            await asyncio.sleep(_LOOK_SECONDS)

    async def reasons(self) -> AsyncIterator[str]:
        """Yield why the import has to wait, a moment apart, until it may go on.

        Raises :class:`WatchEnded` when what it goes by is not looked at any more.
        """
        while reason := self._reason_now():
            started = time.monotonic()
            yield reason
            await asyncio.sleep(_PAUSE_SECONDS)
            self.waited[_kind(reason)] += time.monotonic() - started

    def _reason_now(self) -> str | None:
        if self._watcher and self._watcher.done():
            raise WatchEnded(None if self._watcher.cancelled() else self._watcher.exception())
        return self._reason

    async def look(self) -> str | None:
        """Return why the import has to wait from now on, as a sentence, or ``None``."""
        self._reason = await self._seen_now()
        return self._reason

    async def _seen_now(self) -> str | None:
        async with self.engine.connect() as connection:
            unsent = (await connection.execute(_OUTBOX, {"most": self.limits.outbox_rows + 1})).scalar_one()
            replica = (await connection.execute(_REPLICA)).one_or_none()
        if unsent > self.limits.outbox_rows:
            return f"more than {self.limits.outbox_rows:,} events wait to be sent"
        if replica and replica.bytes > self.limits.replica_lag_mb * 2**20:
            return f"replica {replica.name} is {replica.bytes / 2**20:,.0f} MB behind > {self.limits.replica_lag_mb} MB"
        parts = self.others.urls if self.others else ()
        return next(filter(None, await asyncio.gather(*map(self._look_at, parts))), None)

    async def _look_at(self, part: str) -> str | None:
        if self.others is None:
            return None
        try:
            families = await self.others.metrics(part)
        except PartSilent as silent:
            log.warning("throttle_sees_nothing", part=part, error=str(silent))
            return None  # who is away is not slowed down; its events wait in its queue
        waiting = sum(
            sample.value
            for sample in families.get("queue_depth", [])
            if sample.labels.get("queue", "").endswith((".bulk", ".events"))
        )
        if waiting > self.limits.queue_messages:
            return f"{waiting:,.0f} messages wait at {part}"
        return self._too_slow(part, families.get("http_request_seconds", []))

    def _too_slow(self, part: str, samples: Sequence[Sample]) -> str | None:
        """Say by how much the watched requests since the last look were too slow, or slower than usual for a while."""
        if (route := _WATCHED.get(part)) is None:
            return None
        live = self._live.setdefault(part, Live(self.limits.live_times))
        p95 = live.take(_buckets(samples, route))
        if p95 is None:
            return None
        if p95 > self.limits.live_p95_ms:
            return f"p95 of {route} {p95:,.0f} ms > {self.limits.live_p95_ms:,.0f} ms"
        if live.is_slow:
            return f"p95 of {route} {p95:,.0f} ms > {live.limit_ms:,.0f} ms (usually {live.usual_ms:,.0f} ms)"
        return None


def _buckets(samples: Sequence[Sample], route: str) -> dict[float, float]:
    """How many requests of a route took at most so long, by the bound."""
    buckets: dict[float, float] = {}
    for sample in samples:
        if sample.name.endswith("_bucket") and sample.labels.get("route", "").startswith(route):
            bound = float(sample.labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + sample.value
    return buckets


def _kind(reason: str) -> str:
    """A reason without its figures."""
    return re.sub(r"\b\d[\d,.]*( ms| MB)?", "…", reason)
