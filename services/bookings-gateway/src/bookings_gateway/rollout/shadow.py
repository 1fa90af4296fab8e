"""The parallel run: where the old answer is served, the new one is computed beside it and compared.

Never in the request: that only asks for a comparison, and when one is under way or was a second ago, not even that.
Both answers are read from one snapshot, so what they differ in is never a write between them.

Pages of the listing are compared, whatever was asked for: one booking, the listing and the answer to a write are made
by one statement from the same expressions, the old ones by one function, so that a page of each shows them all.
"""

import asyncio
import hashlib
import hmac
import json
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

from bookings_gateway.listing import Filter, Queries
from bookings_gateway.rollout.compare import ROW, Difference, Kind, differences
from bookings_gateway.rollout.old_path import old_rows
from bookings_gateway.service import Bookings
from shared.database import describe, is_transient
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
    INSERT INTO shadow_run AS r (day, comparisons, rows, rows_different, failures)
    VALUES (current_date, 1, :rows, :different, :failures)
    ON CONFLICT (day) DO UPDATE SET comparisons = r.comparisons + 1, rows = r.rows + excluded.rows,
        rows_different = r.rows_different + excluded.rows_different, failures = r.failures + excluded.failures
    """
)
_SAMPLES = 5
_OF_A_ROW = (ValueError, RecursionError, sqlalchemy.exc.SQLAlchemyError)  # unless the last one is circumstance


@dataclass(slots=True)
class Shadow:
    """Compares, a page of bookings at a time, going through the table from comparison to comparison."""

    bookings: Bookings
    zone: ZoneInfo
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _offset: int = 0
    _failures: int = 0
    _untold: int = 0
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
        except (TimeoutError, OSError, *_OF_A_ROW) as error:
            FAILED.inc()
            self._failures += 1
            self._untold += 1
            log.warning("shadow_comparison_failed", error=type(error).__name__)
            if self._failures >= _FAILURES_TO_STOP:
                self._failures, self._stopped_until = 0, time.monotonic() + _STOPPED_SECONDS
        else:
            self._failures = 0

    async def compare(self, engine: AsyncEngine) -> list[Difference]:
        """Compare the next page of bookings, store what differs, and return it. Next is another page, whatever comes.

        A row of which no new answer can be made fails its page: then each row is asked for by itself, to name it.
        """
        offset, self._offset = self._offset, self._offset + _ROWS
        try:
            rows, found = await self._compare_page(engine, offset)
        except _OF_A_ROW as error:
            if is_transient(error):
                raise
            log.warning("shadow_page_unanswered", error=describe(error))
            rows, found = await self._compare_each(engine, offset)
        if rows < _ROWS:
            self._offset = 0
        async with engine.begin() as connection:
            await self._store(connection, rows, found)
        self._untold = 0
        return found

    async def _compare_page(self, engine: AsyncEngine, offset: int) -> tuple[int, list[Difference]]:
        page = Filter(limit=_ROWS, offset=offset)
        async with engine.begin() as connection:
            queries, old = await self._old(connection, offset)
            bodies = (await connection.execute(queries.listing(page), page.parameters)).all()
        new = [row.body.decode() for row in bodies]
        return len(old), await asyncio.to_thread(lambda: list(differences(old, new, self._id_column)))

    async def _compare_each(self, engine: AsyncEngine, offset: int) -> tuple[int, list[Difference]]:
        async with engine.begin() as connection:
            queries, old = await self._old(connection, offset)
            found = [each for row in old for each in await self._compare_one(connection, queries, row)]
        return len(old), found

    async def _compare_one(self, connection: AsyncConnection, queries: Queries, old: str) -> list[Difference]:
        id_ = ""
        try:
            id_ = str(json.loads(old)[self._id_column])
            async with connection.begin_nested():
                body = (await connection.execute(queries.booking(), {"id": id_})).scalar_one_or_none()
            return list(differences([old], [body.decode()] if body is not None else [], self._id_column))
        except _OF_A_ROW as error:
            if is_transient(error):
                raise
            return [Difference(id_, ROW, Kind.ERROR, "", describe(error))]

    async def _old(self, connection: AsyncConnection, offset: int) -> tuple[Queries, list[str]]:
        """Return a page of old answers, and by what the new ones are asked for in the same snapshot."""
        await connection.execute(_ONE_SNAPSHOT)
        table, queries = await self.bookings.prepared(connection)
        return queries, await old_rows(connection, table, self.zone, limit=_ROWS, offset=offset)

    @property
    def _id_column(self) -> str:
        return self.bookings.tables.layout.id

    async def _store(self, connection: AsyncConnection, rows: int, found: Sequence[Difference]) -> None:
        different = len({difference.booking_id for difference in found})
        COMPARED.inc(rows)
        run = {"rows": rows, "different": different, "failures": self._untold}
        await connection.execute(_NOTE_RUN, run)
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
