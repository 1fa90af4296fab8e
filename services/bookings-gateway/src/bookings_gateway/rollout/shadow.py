"""The parallel run: where the old answer is served, the new one is computed beside it and compared.

Never in the request: that only asks for a comparison, and when one is under way or was a second ago, not even that.
Both answers are read from one snapshot, so what they differ in is never a write between them.

Pages of the listing are compared, whatever was asked for: one booking, the listing and the answer to a write are made
by one statement from the same expressions, the old ones by one function, so that a page of each shows them all.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from zoneinfo import ZoneInfo

import prometheus_client
import sqlalchemy.exc
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.listing import Filter
from bookings_gateway.rollout.compare import Difference, differences
from bookings_gateway.rollout.old_path import old_rows
from bookings_gateway.service import Bookings
from shared.service import Service

log = structlog.get_logger(__name__)

_ROWS = 200
_PAUSE_SECONDS = 1.0
_TIME_LIMIT_SECONDS = 5.0
_FAILURES_TO_STOP = 3
_STOPPED_SECONDS = 60.0

COMPARED = prometheus_client.Counter("shadow_rows_compared_total", "Bookings whose old and new answer were compared")
DIFFERENT = prometheus_client.Counter("shadow_differences_total", "Fields that differed", ["field", "kind"])
FAILED = prometheus_client.Counter("shadow_comparisons_failed_total", "Comparisons that broke off, or took too long")

_ONE_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
# One row per field and kind, however often it differs; the first values seen are kept as hashes, to tell one cause
# from several. Sorted by the caller, so that two replicas wait for each other instead of deadlocking.
_NOTE = text(
    """
    INSERT INTO shadow_difference AS d (field, kind, count, booking_ids, old_hashes, new_hashes)
    VALUES (:field, :kind, :count, CAST(:ids AS text[]), CAST(:old AS text[]), CAST(:new AS text[]))
    ON CONFLICT (field, kind) DO UPDATE SET count = d.count + excluded.count, last_seen = now()
    """
)
_NOTE_RUN = text(
    """
    INSERT INTO shadow_run AS r (day, comparisons, rows, rows_different) VALUES (current_date, 1, :rows, :different)
    ON CONFLICT (day) DO UPDATE SET comparisons = r.comparisons + 1, rows = r.rows + excluded.rows,
        rows_different = r.rows_different + excluded.rows_different
    """
)
_SAMPLES = 5


@dataclass(slots=True)
class Shadow:
    """Compares, a page of bookings at a time, going through the table from comparison to comparison."""

    bookings: Bookings
    zone: ZoneInfo
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _offset: int = 0
    _failures: int = 0
    _stopped_until: float = 0.0
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def ask(self) -> None:
        """Ask for a comparison some time soon; costs nothing and waits for nothing."""
        if time.monotonic() >= self._stopped_until:
            self._wanted.set()

    async def run(self, service: Service) -> None:
        """Compare when asked, until cancelled; what goes wrong is counted and never more than that."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.attempt(service.engine)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def attempt(self, engine: AsyncEngine) -> None:
        """Compare the next page within the time limit. After three failures none is tried for a minute."""
        try:
            async with asyncio.timeout(_TIME_LIMIT_SECONDS):
                await self.compare(engine)
        except (TimeoutError, OSError, ValueError, sqlalchemy.exc.SQLAlchemyError) as error:
            FAILED.inc()
            self._failures += 1
            log.warning("shadow_comparison_failed", error=type(error).__name__)
            if self._failures >= _FAILURES_TO_STOP:
                self._failures, self._stopped_until = 0, time.monotonic() + _STOPPED_SECONDS
        else:
            self._failures = 0

    async def compare(self, engine: AsyncEngine) -> list[Difference]:
        """Compare the next page of bookings, store what differs, and return it."""
        async with engine.begin() as connection:
            await connection.execute(_ONE_SNAPSHOT)
            old, new, id_column = await self._both(connection)
        self._offset = self._offset + _ROWS if len(old) == _ROWS else 0
        found = await asyncio.to_thread(lambda: list(differences(old, new, id_column)))
        async with engine.begin() as connection:
            await self._store(connection, len(old), found)
        return found

    async def _both(self, connection: AsyncConnection) -> tuple[list[str], list[str], str]:
        table, queries = await self.bookings.prepared(connection)
        old = await old_rows(connection, table, self.zone, limit=_ROWS, offset=self._offset)
        page = Filter(limit=_ROWS, offset=self._offset)
        rows = await connection.execute(queries.listing(page), page.parameters)
        return old, [row.body.decode() for row in rows], table.layout.id

    async def _store(self, connection: AsyncConnection, rows: int, found: Sequence[Difference]) -> None:
        different = len({difference.booking_id for difference in found})
        COMPARED.inc(rows)
        await connection.execute(_NOTE_RUN, {"rows": rows, "different": different})
        for (name, kind), group in groupby(sorted(found, key=_group), key=_group):
            members = list(group)
            DIFFERENT.labels(name, kind).inc(len(members))
            samples = members[:_SAMPLES]
            await connection.execute(
                _NOTE,
                {
                    "field": name,
                    "kind": kind,
                    "count": len(members),
                    "ids": [sample.booking_id for sample in samples],
                    "old": [self._hashed(sample.old) for sample in samples],
                    "new": [self._hashed(sample.new) for sample in samples],
                },
            )

    def _hashed(self, value: str) -> str:
        """By a key that dies with the process: a date of birth has too few values for a bare hash to hide it."""
        return hmac.new(self._key, value.encode(errors="replace"), hashlib.sha256).hexdigest()[:16]


_group = attrgetter("field", "kind")
