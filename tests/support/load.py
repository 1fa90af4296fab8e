"""Traffic as the world makes it: bookings by API and by SQL, Stripe's webhooks with duplicates, all retried."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from support import stripe_payloads as stripe
from support.system import System
from support.waiting import eventually

_INSERT = """
    INSERT INTO bookings (id, "bookingReference", status, "contactDetails", "finalAmount", "createdAt", "updatedAt")
    VALUES ($1, $2, 'PENDING', json_build_object('firstName', 'Sam', 'email', $3::text), 20.00, now(), now())
"""


@dataclass
class Load:
    """What was sent and acknowledged: the ledger the oracle compares with."""

    system: System
    client: httpx.AsyncClient
    random: Random
    bookings: list[str] = field(default_factory=list)
    intents: set[str] = field(default_factory=set)
    stopping: bool = False

    async def by_api(self) -> None:
        """Create bookings; one that was not answered may or may not exist, and does not count."""
        for number in count():
            if self.stopping:
                return
            body = {
                "contactDetails": {"firstName": "Ann", "email": f"api{number % 20}@example.com"},
                "finalAmount": "10.00",
            }
            url = f"{self.system.gateway.url}/api/admin/bookings"
            try:
                response = await self.client.post(url, json=body, headers=self.system.staff)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            if response.status_code == httpx.codes.CREATED:
                self.bookings.append(response.json()["id"])
            await asyncio.sleep(0.02)

    async def by_sql(self) -> None:
        """Insert rows as the legacy application does, with a fresh connection whenever the last one broke."""
        for number in count():
            if self.stopping:
                return
            id_ = str(uuid4())
            try:
                await self.system.query("bookings-gateway", _INSERT, id_, id_[:11], f"sql{number % 20}@example.com")
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await asyncio.sleep(0.1)
                continue
            self.bookings.append(id_)
            await asyncio.sleep(0.02)

    async def by_webhook(self) -> None:
        """Pay each booking once; deliver every event until it is taken, every fifth one twice."""
        paid = 0
        while not self.stopping or paid < len(self.bookings):
            if paid == len(self.bookings):
                await asyncio.sleep(0.02)
                continue
            await self.pay(self.bookings[paid], number=paid)
            paid += 1

    async def pay(self, booking_id: str, *, number: int) -> None:
        intent_id = f"pi_{booking_id}"
        intent = stripe.payment_intent(
            intent_id,
            amount=1000,
            amount_received=1000,
            metadata={"bookingId": booking_id},
            latest_charge=f"ch_{intent_id}",
        )
        delivery = stripe.event("payment_intent.succeeded", intent)
        for _ in range(2 if number % 5 == 0 else 1):
            await self.system.send_webhook(self.client, delivery)
        self.intents.add(intent_id)


@asynccontextmanager
async def load(system: System, *, seed: int = 1) -> AsyncIterator[Load]:
    """Send traffic during the block, and finish what was begun after it."""
    async with httpx.AsyncClient(timeout=10) as client:
        running = Load(system, client, Random(seed))
        async with asyncio.TaskGroup() as tasks:
            work: list[Coroutine[Any, Any, None]] = [running.by_api(), running.by_sql(), running.by_webhook()]
            for coroutine in work:
                tasks.create_task(coroutine)
            try:
                yield running
            finally:
                running.stopping = True


async def flowing(running: Load, bookings: int) -> None:
    """Wait until at least so many bookings more were made: the load is under way."""
    target = len(running.bookings) + bookings

    async def reached() -> bool:
        return len(running.bookings) >= target

    await eventually(reached, seconds=60, what=f"{bookings} more bookings")
