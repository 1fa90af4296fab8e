"""A payments service on a fresh database, and a client that posts to it as Stripe does."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.api import Webhook, add_routes
from payments.operations import Operations, operations_on
from payments.settings import Settings
from payments.stripe_gateway import StripeApi
from support.bearer import TOKEN
from support.fake_stripe import KEY, FakeStripe, fake_stripe
from support.internal_api import internal_app, operating_settings
from support.payments import Payments, payments_on
from support.stripe_payloads import SECRET


@pytest.fixture
async def payments(make_engine: Callable[[str], Awaitable[AsyncEngine]]) -> AsyncIterator[Payments]:
    async with payments_on(await make_engine("payments")) as running:
        yield running


@pytest.fixture
async def stripe_client(payments: Payments) -> AsyncIterator[httpx.AsyncClient]:
    """A client that posts to the webhook as Stripe does."""
    settings = Settings.model_validate(
        {
            "database_url": "postgresql://unused",
            "amqp_url": "amqp://unused",
            "stripe_webhook_secrets": f"whsec_older, {SECRET}",
        }
    )
    app = FastAPI()
    add_routes(app, Webhook(settings, payments.recorder))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://payments") as client:
        yield client


@pytest.fixture
def account() -> Iterator[FakeStripe]:
    """Stripe's side: an account of our own."""
    with fake_stripe() as fake:
        yield fake


@pytest.fixture
async def parts(payments: Payments, account: FakeStripe) -> AsyncIterator[Operations]:
    """What calls Stripe's API, here the fake one; impatient and quick to ask again."""
    api = StripeApi(KEY, base=account.url, timeout_seconds=0.5, first_pause_seconds=0.01)
    yield operations_on(api, operating_settings(), payments.engine, payments.processor, source="/payments")
    await api.close()


@pytest.fixture
async def internal(payments: Payments, parts: Operations) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the internal API that bears the token."""
    app = internal_app(payments, parts.refunds)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://payments/internal", headers=headers) as client:
        yield client
