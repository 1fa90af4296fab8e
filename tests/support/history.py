"""A legacy table with a history in it, the gateway beside it, and the four services to move it through."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from fastapi import APIRouter, FastAPI, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import payments.api_history
import stats.api
import users.api_history
from bookings_gateway.capture import Capture
from bookings_gateway.history.importer import Importer
from bookings_gateway.history.move import History
from bookings_gateway.history.others import Others
from bookings_gateway.history.rollback import Outlook, Rollback, outlook
from bookings_gateway.history.verify import Verification, verify
from bookings_gateway.install import install
from bookings_gateway.layouts import PRESETS
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.main import SEARCH_PATH
from bookings_gateway.write_back import WriteBack
from shared.database import create_engine, migrate
from shared.settings import ServiceSettings
from shared.signal import Signal
from shared.topology import Topology
from stats.service.announce import announce_changes
from support.bearer import TOKEN
from support.databases import Databases
from support.legacy_filling import create_table, fill
from support.legacy_generations import LAYOUTS
from support.legacy_history import Fact
from support.legacy_table import MIGRATIONS
from support.payments import payments_on
from support.pump import Pump
from support.stripe_payloads import START, event, payment_intent


@dataclass
class Moved:
    """One table's history and the services. ``pump`` carries events, ``write_back`` copies links to the table.

    ``told``: how many events Stripe sent.
    """

    history: History
    engines: Mapping[str, AsyncEngine]
    pump: Pump
    write_back: WriteBack
    capture: Capture
    told: int = 0

    @property
    def gateway(self) -> AsyncEngine:
        return self.engines["bookings-gateway"]

    async def import_all(self) -> int:
        """Import everything; nothing is carried to the other services yet."""
        return await self._import()

    async def go_on(self) -> int:
        """Take the run over, whoever holds it, and import the rest."""
        return await self._import(force=True)

    async def _import(self, *, force: bool = False) -> int:
        total = 0
        async with self.history.importing(by="tests", force=force) as importer:
            async for rows in importer.chunks():
                total += rows
        return total

    async def begin(self) -> Importer:
        """Begin an import and hold it, without ending it."""
        async with AsyncExitStack() as stack:
            importer = await stack.enter_async_context(self.history.importing(by="tests"))
            stack.pop_all()
        return importer

    async def settle(self) -> None:
        """Capture, carry and write back until nothing moves."""
        while True:
            captured = await self.capture.capture_page(self.gateway, "/bookings-gateway")
            moved = await self.pump.run() + await announce_changes(self.engines["stats"], "/stats")
            written = await self.write_back.write_due(self.gateway)
            if not captured + moved + written:
                return

    async def rows(self, service: str, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        async with self.engines[service].begin() as connection:
            result = await connection.execute(text(sql), parameters)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    async def value(self, service: str, sql: str, **parameters: Any) -> Any:
        (row,) = await self.rows(service, sql, **parameters)
        return next(iter(row.values()))

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Others]:
        """The other services' doors, without a network."""
        mounts = {f"http://{name}": httpx.ASGITransport(door(name, self.engines[name])) for name in self.engines}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(mounts=mounts, headers=headers) as client:
            yield Others({name: f"http://{name}" for name in self.engines}, client)

    async def verified(self) -> Verification:
        """Verify as things stand now."""
        async with self.asking() as others:
            return await verify(self.history, others)

    async def stripe_says(self, booking_id: str, pence: int) -> None:
        """Have Stripe tell how much the PaymentIntent received that a booking stored, and of no charge."""
        intent = "SELECT stripe_payment_intent_id FROM payment WHERE booking_id = :id"
        (paid,) = await self.rows("payments", intent, id=booking_id)
        self.told += 1
        received = payment_intent(
            paid["stripe_payment_intent_id"], amount=pence, amount_received=pence, latest_charge=None
        )
        async with payments_on(self.engines["payments"]) as door:
            await door.take(event("payment_intent.succeeded", received, created=START + self.told))
        await self.settle()

    async def take_back(self) -> int:
        """Roll everything back."""
        taken = [rows async for rows in Rollback(self.gateway, self.capture, "/bookings-gateway").take_back()]
        return sum(taken)

    async def outlook(self) -> Outlook:
        """What a rollback would touch, everything captured before."""
        await self.capture.capture_page(self.gateway, "/bookings-gateway")
        return await outlook(self.gateway)

    async def checksum(self) -> tuple[int, str]:
        """Rows and hash of the legacy table, without what the gateway itself writes."""
        async with self.gateway.connect() as connection:
            return await (await self.history.source(connection)).checksum(connection)


def door(service: str, engine: AsyncEngine) -> FastAPI:
    """The routes of a service a verification asks, and its gauges."""
    base = {"database_url": "postgresql://unused", "amqp_url": "amqp://unused", "internal_token": TOKEN}
    settings = ServiceSettings.model_validate(base)
    routers: dict[str, Callable[..., APIRouter]] = {
        "users": users.api_history.create_router,
        "payments": payments.api_history.create_router,
        "stats": stats.api.create_router,
    }
    app = FastAPI()
    if service in routers:
        app.include_router(routers[service](engine, settings))

    @app.get("/health/ready")
    async def ready() -> None:
        """Well: there is no broker whose queues could not be measured."""

    @app.get("/metrics")
    async def metrics() -> Response:
        async with engine.connect() as connection:
            outbox = (await connection.execute(text("SELECT count(*) FROM outbox"))).scalar_one()
            dead = (await connection.execute(text("SELECT count(*) FROM dead_letter"))).scalar_one()
        topology = Topology(service, ())
        queues = (topology.events, topology.bulk, *topology.retries)
        depths = [f'queue_depth{{queue="{queue}"}} 0' for queue in queues]
        told = [f"outbox_rows {outbox}", f"dead_letters_open {dead}", "unrouted_messages 0", *depths]
        return Response("\n".join([*told, ""]))

    return app


@asynccontextmanager
async def moving(databases: Databases, layout: str, bookings: Sequence[Fact]) -> AsyncIterator[Moved]:
    """A table of that layout with these bookings, older than the gateway that is now installed beside it."""
    url = await databases.create()
    await create_table(url, LAYOUTS[layout])
    await fill(url, LAYOUTS[layout], bookings)
    engines = {
        name: create_engine(await databases.create(name), name="tests") for name in ("users", "payments", "stats")
    }
    gateway = engines["bookings-gateway"] = create_engine(url, name="tests", search_path=SEARCH_PATH)
    declared, zone = PRESETS[layout], ZoneInfo("Europe/London")
    await _migrate(url)
    await install(gateway, "bookings", declared)
    capture = Capture(Signal(), declared, "GBP", zone)
    history = History(gateway, "bookings", declared, "GBP", zone, capture)
    try:
        yield Moved(
            history,
            engines,
            Pump(engines),
            WriteBack(LegacyTableCache("bookings", declared), Signal(), zone.key),
            capture,
        )
    finally:
        for engine in engines.values():
            await engine.dispose()


async def _migrate(url: str) -> None:
    import asyncio

    await asyncio.to_thread(migrate, url, MIGRATIONS, search_path=SEARCH_PATH)
