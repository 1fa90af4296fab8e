"""A fresh legacy database per test, with the gateway installed on it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.main import SEARCH_PATH
from local_stack.postgres import LocalPostgres
from shared.database import create_engine
from support.admin import Admin, admin_app, person, totals
from support.databases import Databases
from support.erasing import ANN, BOB, Erasing
from support.fake_services import FakeServices
from support.gateway import Gateway
from support.gateway import gateway as running_gateway
from support.legacy_table import create_gateway_database


@pytest.fixture(scope="session")
async def gateway_databases(postgres: LocalPostgres) -> Databases:
    return Databases(postgres, {"bookings_gateway": create_gateway_database})


@pytest.fixture
async def gateway_engine(gateway_databases: Databases) -> AsyncIterator[AsyncEngine]:
    url = await gateway_databases.create("bookings_gateway")
    engine = create_engine(url, name="tests", search_path=SEARCH_PATH)
    yield engine
    await engine.dispose()


@pytest.fixture
async def admin(gateway_engine: AsyncEngine) -> AsyncIterator[Admin]:
    """The admin API on a fresh database, the other services faked."""
    services = FakeServices()
    transport = httpx.ASGITransport(admin_app(gateway_engine, services))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield Admin(gateway_engine, services, client)


@pytest.fixture
async def gateway(gateway_databases: Databases) -> AsyncIterator[Gateway]:
    """The whole application on a fresh database."""
    async with running_gateway(await gateway_databases.create("bookings_gateway")) as whole:
        yield whole


@pytest.fixture
async def erasing(admin: Admin) -> Erasing:
    """Ann and Bob are known."""
    await admin.heard(person(ANN, phone="07700 900987"), totals(ANN), person(BOB))
    return Erasing(admin.engine)
