"""One system for all claims about the admin API: it takes seconds to start."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from local_stack.rabbitmq import LocalRabbit
from support.databases import Databases
from support.fake_stripe import KEY, FakeStripe, fake_stripe
from support.office import Office
from support.system import System, system


@pytest.fixture(scope="package")
def account() -> Iterator[FakeStripe]:
    with fake_stripe() as fake:
        yield fake


@pytest.fixture(scope="package")
async def whole(
    databases: Databases, rabbit: LocalRabbit, account: FakeStripe, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    settings = {"PAYMENTS_STRIPE_API_KEY": KEY, "PAYMENTS_STRIPE_API_BASE": account.url}
    async with system(databases, rabbit.url, tmp_path_factory.mktemp("logs"), settings) as running:
        yield running


@pytest.fixture
async def office(whole: System) -> AsyncIterator[Office]:
    async with httpx.AsyncClient(timeout=30, headers=whole.staff) as http:
        yield Office(whole, http)
