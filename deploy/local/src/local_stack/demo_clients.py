"""What the demo looks at the system with: its HTTP doors, its databases, and Stripe's own client."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import stripe

from local_stack.services import GATEWAY, PAYMENTS, SERVICES, STATS, Service
from local_stack.settings import INTERNAL_SETTING, WEBHOOK_SECRETS_SETTING
from local_stack.stack import Stack

Json = dict[str, Any]

_ANSWER_SECONDS = 5.0
_KEY = "sk_test_demo"  # localstripe takes any; a key of the user's own stays out of this


@dataclass(frozen=True)
class Clients:
    """Connections to every part of one running stack."""

    stack: Stack
    http: httpx.AsyncClient
    databases: dict[Service, "asyncpg.Pool[asyncpg.Record]"]
    stripe: stripe.StripeClient

    async def bookings(self) -> list[Json]:
        """The legacy listing, newest first."""
        response = await self.http.get(f"{self.url(GATEWAY)}/api/admin/bookings")
        return list(response.raise_for_status().json())

    async def booking(self, booking_id: str) -> Json:
        """One row of the legacy listing."""
        response = await self.http.get(f"{self.url(GATEWAY)}/api/admin/bookings/{booking_id}")
        return dict(response.raise_for_status().json())

    async def totals(self, user_id: str) -> Json | None:
        """A user's totals as stats tells them; None when it has heard of no such user."""
        path = f"{self.url(STATS)}/internal/users/{user_id}/totals"
        response = await self.http.get(path, headers=self._bearer)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        return dict(response.raise_for_status().json())

    async def post_webhook(self, body: str) -> None:
        """Sign `body` as Stripe does and deliver it."""
        secret = self.stack.settings()[WEBHOOK_SECRETS_SETTING].split(",")[0]
        headers = {"Stripe-Signature": stripe.WebhookSignature.generate_signature_header(body, secret)}
        response = await self.http.post(f"{self.url(PAYMENTS)}/api/webhooks/stripe", content=body, headers=headers)
        response.raise_for_status()

    async def holds(self, service: Service, question: str, *values: str) -> bool:
        """Whether `question`, the inside of an EXISTS, has an answer in the service's database."""
        return bool(await self.databases[service].fetchval(f"SELECT EXISTS ({question})", *values))

    @property
    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.stack.settings()[INTERNAL_SETTING]}"}

    def url(self, service: Service) -> str:
        """Where `service` listens."""
        return self.stack.url(service)


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[Clients]:
    """Clients for a stack that is up, with localstripe."""
    settings = stack.settings()
    client = stripe.StripeClient(_KEY, base_addresses={"api": stack.stripe.api_base})
    async with AsyncExitStack() as opened:
        http = await opened.enter_async_context(httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False))
        await _log_in(http, stack)
        databases = {
            service: await opened.enter_async_context(
                asyncpg.create_pool(settings[service.database_setting], min_size=1, max_size=2)
            )
            for service in SERVICES
        }
        yield Clients(stack, http, databases, client)


async def _log_in(http: httpx.AsyncClient, stack: Stack) -> None:
    """Open a session at the gateway; every request carries what its writes need."""
    headers = {"Content-Type": "application/json"}
    answer = await http.post(
        f"{stack.url(GATEWAY)}/api/admin/login", content=stack.staff.login.read_bytes(), headers=headers
    )
    http.headers["X-CSRF-Token"] = answer.raise_for_status().json()["csrfToken"]
