"""The use cases of moving the history: predict, import, pause. Each commits its own transactions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.capture import Capture
from bookings_gateway.domain import Layout
from bookings_gateway.history import runs
from bookings_gateway.history.counts import Counts
from bookings_gateway.history.errors import NotReady
from bookings_gateway.history.importer import CHUNK_ROWS, Importer
from bookings_gateway.history.items import Item, item_of
from bookings_gateway.history.progress import Status, status
from bookings_gateway.history.source import Source
from bookings_gateway.legacy_table import find

_READ_ROWS = 2_000
_BEING_TAKEN_BACK = (
    "The import is being taken back. Finish that first with `bookings-gateway history rollback --apply`, "
    "then import again."
)

# One moment in time for everything a prediction reads, and certainly nothing written.
_LOOK_ONLY = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
_NOW = text("SELECT now()")


@dataclass(slots=True)
class Prediction:
    """What an import of the table as it is now would do: counts, and the people who booked."""

    counts: Counts = field(default_factory=Counts)
    identities: set[str] = field(default_factory=set)
    set_aside: list[Item] = field(default_factory=list)

    @property
    def users(self) -> int:
        """How many users the bookings have: one per address, and one for each booking that tells nobody."""
        return len(self.identities) + self.counts.placeholders

    def add(self, item: Item) -> None:
        """Take one more booking into account."""
        self.counts.add(item)
        if item.identity:
            self.identities.add(item.identity)
        if item.snapshot is None:
            self.set_aside.append(item)


@dataclass(frozen=True, slots=True)
class History:
    """The history in one legacy table."""

    engine: AsyncEngine
    table: str
    layout: Layout
    currency: str
    zone: ZoneInfo
    capture: Capture
    name: str = "/bookings-gateway"

    async def source(self, connection: AsyncConnection) -> Source:
        """Return the table, by the columns it had when the current run began."""
        run = await runs.current(connection)
        columns = runs.plan_of(run)["columns"] if run else None
        return Source(await find(connection, self.table, self.layout), columns)

    async def predict(self) -> Prediction:
        """Return what an import would do, by the very functions that do it; changes nothing."""
        prediction = Prediction()
        async with self.engine.connect() as connection:
            await connection.execute(_LOOK_ONLY)
            source = await self.source(connection)
            now = (await connection.execute(_NOW)).scalar_one()
            setting = await source.setting(connection, currency=self.currency, zone=self.zone, now=now)
            position: str | None = None
            while rows := await source.page(connection, after=position, rows=_READ_ROWS):
                for row in rows:
                    prediction.add(item_of(row, setting))
                position = rows[-1].booking_id
        return prediction

    async def counts(self) -> Counts:
        """Return what the ledger says was done."""
        async with self.engine.connect() as connection:
            return await Counts.from_ledger(connection)

    @asynccontextmanager
    async def importing(
        self, *, by: str, force: bool = False, chunk_rows: int = CHUNK_ROWS, ends: str = "imported"
    ) -> AsyncIterator[Importer]:
        """Hold the run, a new one or the one begun before, and return what imports it.

        When the block ends well, the run is in the state ``ends``: unless said otherwise, it has imported everything
        there was. Raises ``ImportHeld`` and ``NotReady``.
        """
        importer = await self._open(by=by, force=force, chunk_rows=chunk_rows)
        yield importer
        async with self.engine.begin() as connection:
            await runs.end(connection, importer.run, ends)

    async def _open(self, *, by: str, force: bool, chunk_rows: int) -> Importer:
        async with self.engine.begin() as connection:
            before = await runs.current(connection)
            if before and before["state"] == "rolling_back":
                raise NotReady(_BEING_TAKEN_BACK)
            source = await self.source(connection)
            if before:
                run = await runs.take(connection, before, force=force)
            else:
                plan = await self._plan(connection, source)
                run = await runs.begin(
                    connection, plan, by=by, chunk_rows=chunk_rows, version=version("bookings-gateway")
                )
            setting = await source.setting(connection, currency=self.currency, zone=self.zone, now=run.started_at)
        return Importer(self.engine, source, setting, self.capture, self.name, run)

    async def _plan(self, connection: AsyncConnection, source: Source) -> dict[str, Any]:
        rows, checksum = await source.checksum(connection)
        return {
            "table": source.table.name,
            "columns": source.columns,
            "layout": {field: getattr(self.layout, field) for field in self.layout.__slots__},
            "currency": self.currency,
            "zone": self.zone.key,
            "rows": rows,
            "sha256": checksum,
            "statuses": await source.statuses(connection),
        }

    async def status(self) -> Status:
        """Return where the move stands."""
        async with self.engine.connect() as connection:
            return await status(connection, await self.source(connection))

    async def pause(self, *, by: str) -> bool:
        """Have a running import stop after its chunk; ``False`` when none runs. Raises ``NoRun``."""
        async with self.engine.begin() as connection:
            return await runs.pause(connection, await runs.required(connection), by=by)

    async def set_chunk_rows(self, rows: int) -> None:
        """Change how many rows a chunk has at most, also while it runs. Raises ``NoRun``."""
        async with self.engine.begin() as connection:
            await runs.set_chunk_rows(connection, await runs.required(connection), rows)
