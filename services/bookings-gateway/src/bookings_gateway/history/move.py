"""The use cases of moving the history: predict, import, pause. Each commits its own transactions."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy.exc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.capture import PAGE, Capture
from bookings_gateway.domain import Layout
from bookings_gateway.history import runs
from bookings_gateway.history.counts import Counts
from bookings_gateway.history.errors import NotReady, Stopped
from bookings_gateway.history.importer import CHUNK_ROWS, Importer
from bookings_gateway.history.items import Item, item_of
from bookings_gateway.history.progress import Status, status
from bookings_gateway.history.runs import Run
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
    """What an import of the table as it is now would do: counts, and the people who booked.

    ``by_staff``: bookings under one of the addresses ``staff``.
    """

    staff: frozenset[str] = frozenset()
    counts: Counts = field(default_factory=Counts)
    identities: set[str] = field(default_factory=set)
    set_aside: list[Item] = field(default_factory=list)
    by_staff: list[str] = field(default_factory=list)

    @property
    def users(self) -> int:
        """How many users the bookings have: one per address, and one for each booking that tells nobody."""
        return len(self.identities) + self.counts.placeholders

    def add(self, item: Item) -> None:
        """Take one more booking into account."""
        self.counts.add(item)
        if item.identity:
            self.identities.add(item.identity)
            if item.identity in self.staff:
                self.by_staff.append(item.booking_id)
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

    async def predict(self, *, staff: Collection[str] = ()) -> Prediction:
        """Return what an import would do, by the very functions that do it; changes nothing."""
        prediction = Prediction(frozenset(staff))
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
        self, *, by: str, force: bool = False, chunk_rows: int | None = None
    ) -> AsyncIterator[Importer]:
        """Hold the run, a new one or the one begun before, and return what imports it.

        When the block ends well, the run has imported everything there was. Raises ``ImportHeld`` and ``NotReady``.
        """
        importer = await self._open(by=by, force=force, chunk_rows=chunk_rows)
        try:
            yield importer
        except Stopped as error:
            await self._say_failed(importer, str(error))
            raise
        async with self.engine.begin() as connection:
            await runs.end(connection, importer.run, "imported")

    async def deciding(self, connection: AsyncConnection) -> Importer:
        """Return what imports single rows in this transaction, in which nobody else goes on with the run.

        Raises ``NoRun``, ``ImportHeld`` and ``NotReady``.
        """
        await self._catch_up()
        run = await runs.keep_still(connection)
        source = await self.source(connection)
        self._require_same(runs.plan_of(await runs.required(connection)), source)
        return await self._importer(connection, source, run)

    async def _say_failed(self, importer: Importer, why: str) -> None:
        """Leave the sentence for whoever looks; where the database is away, the missing heartbeat tells."""
        with suppress(sqlalchemy.exc.DBAPIError, OSError):
            async with self.engine.begin() as connection:
                await runs.end(connection, importer.run, "failed", remark=why)

    async def _open(self, *, by: str, force: bool, chunk_rows: int | None) -> Importer:
        await self._catch_up()
        async with self.engine.begin() as connection:
            before = await runs.locked(connection)
            if before and before["state"] == "rolling_back":
                raise NotReady(_BEING_TAKEN_BACK)
            source = await self.source(connection)
            if before:
                self._require_same(runs.plan_of(before), source)
                run = await runs.take(connection, before, force=force)
                if chunk_rows:
                    await runs.set_chunk_rows(connection, before, chunk_rows)
            else:
                plan = await self._plan(connection, source)
                most = chunk_rows or CHUNK_ROWS
                run = await runs.begin(connection, plan, by=by, chunk_rows=most, version=version("bookings-gateway"))
            return await self._importer(connection, source, run)

    async def _catch_up(self) -> None:
        """Tell what live writers changed before, a page to a transaction, unless another process is at it."""
        while await self.capture.capture_page(self.engine, self.name) == PAGE:
            pass

    async def _importer(self, connection: AsyncConnection, source: Source, run: Run) -> Importer:
        setting = await source.setting(connection, currency=self.currency, zone=self.zone, now=run.started_at)
        return Importer(self.engine, source, setting, self.capture, self.name, run)

    def _reading(self, source: Source) -> dict[str, Any]:
        """What decides how rows are read: a run keeps to it from its beginning to its end."""
        return {
            "table": source.table.name,
            "layout": self.layout.reading,
            "currency": self.currency,
            "zone": self.zone.key,
        }

    def _require_same(self, plan: dict[str, Any], source: Source) -> None:
        now = self._reading(source)
        changed = [f"{name} was {plan[name]} and is {now[name]}" for name in now if plan[name] != now[name]]
        if changed:
            raise NotReady(
                f"This import began with other settings: {'; '.join(changed)}. Go on with those it began with, or take "
                "it back with `bookings-gateway history rollback --apply` and begin anew."
            )

    async def _plan(self, connection: AsyncConnection, source: Source) -> dict[str, Any]:
        rows, checksum = await source.checksum(connection)
        return {
            **self._reading(source),
            "columns": source.columns,
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
