"""Payments is killed between any two steps, and loses its database or broker: nothing stranded, nothing doubled."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from time import time
from typing import Any

import asyncpg
import httpx
import pytest

from local_stack.ports import free_port
from local_stack.postgres import LocalPostgres
from local_stack.rabbitmq import LocalRabbit
from support import stripe_payloads as stripe
from support.bearer import TOKEN
from support.broker import sweep
from support.databases import Databases
from support.fake_stripe import KEY, FakeStripe, fake_stripe
from support.system import ServiceProcess
from support.waiting import eventually

RESUME_SECONDS = 20.0


class Paying:
    """One payments service, Stripe beside it, and a ledger of what Stripe was told is stored."""

    def __init__(self, process: ServiceProcess, database_url: str, account: FakeStripe) -> None:
        self.process = process
        self.database_url = database_url
        self.account = account
        self.taken: set[str] = set()

    async def query(self, sql: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database_url)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql)
            return rows
        finally:
            await connection.close()

    async def deliver(self, events: Sequence[stripe.Json], *, clients: int = 6) -> None:
        """Deliver as Stripe does: each event until it is taken, every fourth one twice, several at once."""
        waiting = [event for number, event in enumerate(events) for _ in range(2 if number % 4 == 0 else 1)]

        async def work(client: httpx.AsyncClient) -> None:
            while waiting:
                event = waiting.pop()
                if not await self._taken(client, event):
                    waiting.append(event)
                    await asyncio.sleep(0.05)

        async with httpx.AsyncClient(timeout=15) as client:
            await asyncio.gather(*(work(client) for _ in range(clients)))

    async def _taken(self, client: httpx.AsyncClient, event: stripe.Json) -> bool:
        signed = stripe.sign(event)
        try:
            answer = await client.post(
                f"{self.process.url}/api/webhooks/stripe", content=signed.body, headers=signed.headers
            )
        except httpx.TransportError:
            return False
        assert answer.status_code in {200, 503}
        if answer.is_success:
            self.taken.add(event["id"])
        return bool(answer.is_success)

    async def settled(self) -> None:
        """Wait until nothing is due or unsent any more."""
        waiting = (
            "SELECT (SELECT count(*) FROM stripe_event WHERE state = 'received') "
            "+ (SELECT count(*) FROM outbox) + (SELECT count(*) FROM refund_request WHERE state = 'pending') AS rows"
        )

        async def nothing() -> bool:
            return bool((await self.query(waiting))[0]["rows"] == 0)

        await eventually(nothing, seconds=RESUME_SECONDS, what="nothing due and nothing unsent")


@asynccontextmanager
async def paying(databases: Databases, amqp_url: str, logs: Path, **settings: str) -> AsyncIterator[Paying]:
    await sweep(amqp_url)
    url = await databases.create("payments")
    with fake_stripe() as account:
        environment = {
            "AMQP_URL": amqp_url,
            "PAYMENTS_DATABASE_URL": url,
            "PAYMENTS_PORT": str(port := free_port()),
            "PAYMENTS_STRIPE_WEBHOOK_SECRETS": stripe.SECRET,
            "INTERNAL_TOKEN": TOKEN,
            "PAYMENTS_STRIPE_API_KEY": KEY,
            "PAYMENTS_STRIPE_API_BASE": account.url,
            "PAYMENTS_RECONCILE_EVERY_MINUTES": "0",
            **settings,
        }
        process = ServiceProcess("payments", port, environment, logs / "payments.log")
        process.start()
        try:
            await process.wait_ready()
            yield Paying(process, url, account)
        finally:
            process.end()


@pytest.fixture
async def one(databases: Databases, rabbit: LocalRabbit, tmp_path: Path) -> AsyncIterator[Paying]:
    async with paying(databases, rabbit.url, tmp_path) as running:
        yield running


def lives(count: int) -> list[stripe.Json]:
    """Each payment is paid and refunded in part, told by three events."""
    events = []
    for number in range(count):
        names: dict[str, Any] = {"payment_intent": f"pi_{number}"}
        charge = stripe.charge(f"ch_{number}", **names)
        refund = stripe.refund(f"re_{number}", charge=charge["id"], **names)
        events += [
            stripe.event("payment_intent.succeeded", stripe.payment_intent(f"pi_{number}", latest_charge=charge["id"])),
            stripe.event("charge.succeeded", charge, created=stripe.START + 5),
            stripe.event("refund.created", refund, created=stripe.START + 60),
        ]
    Random(7).shuffle(events)
    return events


async def assert_whole(one: Paying, events: Sequence[stripe.Json], count: int) -> None:
    """Each event once, each payment right, each snapshot told once and in order."""
    await one.process.wait_ready()
    await one.settled()
    stored = await one.query("SELECT id, state FROM stripe_event WHERE type <> 'fetched'")
    assert {row["id"] for row in stored} >= {event["id"] for event in events}
    assert {row["state"] for row in stored} == {"processed"}
    payments = await one.query("SELECT status, received, refunded FROM payment")
    assert [tuple(row) for row in payments] == [("succeeded", 6750, 2000)] * count
    gaps = await one.query(
        "SELECT subject FROM event_log GROUP BY subject "
        "HAVING count(*) <> max(sequence) OR min(sequence) <> 1 OR count(*) <> count(DISTINCT body ->> 'data')"
    )
    assert gaps == []


@pytest.mark.timeout(240)
async def test_killed_at_random_moments_under_load_it_strands_and_doubles_nothing(one: Paying) -> None:
    events, random = lives(120), Random(3)
    delivering = asyncio.create_task(one.deliver(events))
    for _ in range(5):
        await asyncio.sleep(random.uniform(0.3, 1.5))  # the moment is what is drawn, nothing is waited for
        one.process.signal(signal.SIGKILL)
        one.process.start()
        await one.process.wait_ready()
    await delivering
    await assert_whole(one, events, 120)


@pytest.mark.timeout(240)
async def test_database_away_is_a_5xx_and_red_and_nothing_is_lost(one: Paying, postgres: LocalPostgres) -> None:
    events = lives(60)
    delivering = asyncio.create_task(one.deliver(events))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(postgres.stop)
    try:
        async with httpx.AsyncClient(timeout=15) as client:
            assert not await one._taken(client, events[0])

        async def red() -> bool:
            return (await one.process.readiness())[0] == 503

        await eventually(red, what="red health")
    finally:
        await asyncio.to_thread(postgres.start)
    await delivering
    await assert_whole(one, events, 60)


@pytest.mark.timeout(240)
async def test_broker_away_webhooks_are_taken_and_told_afterwards(one: Paying, rabbit: LocalRabbit) -> None:
    events = lives(40)
    await asyncio.to_thread(rabbit.kill)
    try:
        await one.deliver(events)

        async def processed() -> bool:
            return not await one.query("SELECT 1 FROM stripe_event WHERE state = 'received' LIMIT 1")

        await eventually(processed, what="everything processed without a broker")
        assert await one.query("SELECT 1 FROM outbox LIMIT 1")
    finally:
        await asyncio.to_thread(rabbit.start)
    await assert_whole(one, events, 40)


@pytest.mark.timeout(240)
async def test_webhooks_off_for_a_while_then_reconcile_finds_everything(
    databases: Databases, rabbit: LocalRabbit, tmp_path: Path
) -> None:
    async with paying(databases, rabbit.url, tmp_path) as one:
        events = recent(lives(60))
        one.account.announces(*sorted(events, key=lambda event: event["created"]))
        await one.deliver(events[:50])
        one.process.end()

        for expected in ("180 listed, 130 missed", "180 listed, 0 missed"):
            run = await asyncio.create_subprocess_exec(
                *(str(Path(sys.executable).parent / "payments"), "reconcile"),
                env={**os.environ, **one.process.environment},
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await run.communicate()
            assert (run.returncode, expected in output.decode()) == (0, True), output.decode()
        one.process.start()
        await assert_whole(one, events, 60)


def recent(events: Sequence[stripe.Json]) -> list[stripe.Json]:
    """The same lives, an hour ago: List Events keeps thirty days."""
    moved = int(time()) - 3600 - stripe.START

    def later(item: stripe.Json) -> stripe.Json:
        return {**item, "created": item["created"] + moved}

    return [later({**event, "data": {"object": later(event["data"]["object"])}}) for event in events]


@pytest.mark.timeout(240)
async def test_killed_while_stripe_is_asked_for_a_refund_it_is_made_once(one: Paying) -> None:
    events = lives(1)
    await one.deliver(events)
    await one.settled()
    one.account.announces(*sorted(events, key=lambda event: event["created"]))
    one.account.holds({**one.account.objects["ch_0"], "amount_refunded": 2000})
    payment = (await one.query("SELECT id FROM payment"))[0]["id"]
    one.account.faults.append("lost")

    async def ask() -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "click-0001"}
        body = {"amount": "10.00", "requested_by": "ann"}
        async with httpx.AsyncClient(timeout=60) as client:
            try:
                await client.post(f"{one.process.url}/internal/payments/{payment}/refunds", json=body, headers=headers)
            except httpx.TransportError:
                return

    asking = asyncio.create_task(ask())

    async def made() -> bool:
        return bool(one.account.made)

    await eventually(made, what="Stripe asked")
    one.process.signal(signal.SIGKILL)
    await asking
    connection = await asyncpg.connect(one.database_url)
    await connection.execute("UPDATE refund_request SET next_attempt_at = now()")
    await connection.close()
    one.process.start()
    await one.process.wait_ready()
    await one.settled()

    refunds = [item["id"] for item in one.account.objects.values() if item["object"] == "refund"]
    assert len(refunds) == 2
    (row,) = await one.query("SELECT state, stripe_refund_id FROM refund_request")
    assert (row["state"], row["stripe_refund_id"] in refunds) == ("accepted", True)
    (row,) = await one.query("SELECT refunded FROM payment")
    assert row["refunded"] == 3000
