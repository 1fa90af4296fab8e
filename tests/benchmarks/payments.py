"""How fast webhooks are accepted, durably, and become published events, beside bare commits of the same PostgreSQL."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import perf_counter, time
from timeit import timeit
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from benchmarks.infrastructure import Infrastructure
from benchmarks.processors import Meter
from benchmarks.table import Result as Outcome
from benchmarks.table import Row, Target
from local_stack.ports import free_port
from payments.service.examine import Expected, Stored, examine
from payments.service.record_delivery import Delivery
from payments.stripe_gateway import verify
from shared.publisher import RabbitPublisher
from shared.topology import Topology, declare
from support import stripe_payloads as stripe
from support.ledgers import ledger_after
from support.stripe_payloads import SECRET
from support.waiting import eventually

CONNECTIONS = 16
REQUESTS = 15_000
_INSERT = """
    INSERT INTO stripe_delivery (event_id, received_at, headers, body) VALUES ($1, $2, $3, $4)
"""


async def measure(infrastructure: Infrastructure) -> Outcome:
    """Return rates of accepting alone and together with processing, latencies, and the floor of bare commits."""
    floor = await bare_commits(await infrastructure.databases.create("payments"))
    alone = await accepted(infrastructure, "accept")
    whole = await accepted(infrastructure, "whole")
    rows = [
        Row(f"bare asyncpg, {CONNECTIONS} connections, one row and one commit each", floor),
        Row(
            f"accept: signed, {CONNECTIONS} connections, durable",
            alone.rate,
            floor,
            Target(at_least=3_000, of_floor=0.6),
        ),
        Row("accept: half of all answered within", alone.percentile(50), unit="ms"),
        Row("accept: 99 % of all answered within", alone.percentile(99), target=Target(at_most=20), unit="ms"),
        Row("accept, while the same process also processes and publishes", whole.rate, floor),
        Row("… 99 % of all answered within", whole.percentile(99), unit="ms"),
        Row("accepted → published (first request to last confirm)", whole.published, floor, Target(at_least=3_000)),
        Row("CPU per delivery, accept alone", alone.cpu, unit="µs"),
        *(Row(f"… of which {name}", cost, unit="µs") for name, cost in costs().items()),
        Row("CPU per event, accepted, processed and published", whole.cpu, unit="µs"),
    ]
    return Outcome(
        rows, [f"Accepted only: {alone.where}", f"Accepted, processed and published: {whole.where}", whole.limit]
    )


class Result:
    """What the client saw, and what the server spent."""

    def __init__(self, told: dict[str, Any], published: float, spent: dict[str, float], groups: int) -> None:
        self.rate = len(told["latencies"]) / told["seconds"]
        self._latencies = told["latencies"]
        self.published = published
        self.cpu = spent["the service"] / REQUESTS * 1e6
        each = ", ".join(f"{name} {seconds / REQUESTS * 1e6:,.0f}" for name, seconds in spent.items())
        settled = f"; settled {REQUESTS / groups:,.0f} at a time" if groups else ""
        self.where = f"µs of processor time per event: {each}{settled}."
        cores, total = os.cpu_count() or 1, sum(spent.values()) / REQUESTS
        self.limit = (
            f"That allows {1e6 / self.cpu:,.0f}/s, because one process computes on one processor, and "
            f"{cores / total:,.0f}/s on the {cores} processors of this machine before the client has had any of it."
        )

    def percentile(self, share: int) -> float:
        """Return milliseconds."""
        return float(self._latencies[len(self._latencies) * share // 100] * 1000)


async def bare_commits(url: str) -> float:
    """Insert the same row from a bare pool, each in a transaction of its own."""
    body = json.dumps(stripe.event("payment_intent.succeeded", stripe.payment_intent()), indent=2).encode()
    async with asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        now, names = datetime.now(UTC), iter([uuid4().hex for _ in range(REQUESTS)])

        async def insert() -> None:
            async with pool.acquire() as connection:
                for name in names:
                    await connection.execute(_INSERT, name, now, "[]", body)

        started = perf_counter()
        await asyncio.gather(*(insert() for _ in range(CONNECTIONS)))
        return REQUESTS / (perf_counter() - started)


async def accepted(infrastructure: Infrastructure, mode: str) -> Result:
    """Run the service in a process of its own and post to it from another."""
    url = await infrastructure.databases.create("payments")
    amqp_url = await infrastructure.amqp_url()
    await take_payments(amqp_url)
    async with server(url, amqp_url, mode) as (port, process):
        await post(port, 500)
        await drained(url, mode)
        processors = {
            "the service": lambda: [process.pid],
            "PostgreSQL": infrastructure.postgres.pids,
            "RabbitMQ": infrastructure.rabbit.pids,
        }
        meter = Meter(processors)
        started = perf_counter()
        told = await post(port, REQUESTS)
        await drained(url, mode)
        published = REQUESTS / (perf_counter() - started)
        return Result(told, published, meter.spent(), await groups_settled(url))


async def groups_settled(url: str) -> int:
    """In how many transactions events were settled: each has one time."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(DISTINCT decided_at) FROM stripe_event"))
    finally:
        await connection.close()


async def take_payments(amqp_url: str) -> None:
    """Give events a queue to go to, as in the whole system: what no queue takes would be sent on again and again."""
    publisher = RabbitPublisher(amqp_url)
    await declare(await publisher._channel.get(), Topology("stats", ("payment.*",)))
    await publisher.aclose()


def costs() -> dict[str, float]:
    """Microseconds of the steps that are ours; the rest is HTTP, the group's transaction and the event loop."""
    event = stripe.event("payment_intent.succeeded", stripe.payment_intent())
    signed = stripe.sign(event)
    stored = Stored(
        id=event["id"],
        type=event["type"],
        attempts=0,
        traceparent=None,
        received_at=datetime.now(UTC),
        body=signed.body,
    )
    headers = [(name.lower().encode(), value.encode()) for name, value in signed.headers.items()]

    def check() -> None:
        verify(signed.body, signed.signature, secrets=(SECRET,), tolerance_seconds=300, now=time())

    steps: dict[str, Callable[[], object]] = {
        "the signature": check,
        "reading the event's id and type, copying headers": lambda: Delivery.of(signed.body, headers),
        "(processing) reading what the event shows": lambda: examine(stored, Expected(livemode=False)),
        "(processing) what that makes of the payment": lambda: ledger_after([event]),
    }
    return {name: timeit(step, number=5_000) / 5_000 * 1e6 for name, step in steps.items()}


async def post(port: int, count: int) -> dict[str, Any]:
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.webhook_client", str(port), str(CONNECTIONS), str(count),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await client.communicate()
    result: dict[str, Any] = json.loads(output)
    return result


async def drained(url: str, mode: str) -> None:
    """Wait until everything stored is processed and everything recorded is sent."""
    if mode == "accept":
        return
    connection = await asyncpg.connect(url)
    waiting = (
        "SELECT EXISTS (SELECT FROM stripe_event WHERE next_attempt_at IS NOT NULL) OR EXISTS (SELECT FROM outbox)"
    )

    async def nothing() -> bool:
        return not await connection.fetchval(waiting)

    await eventually(nothing, seconds=300, what="everything published")
    await connection.close()


@asynccontextmanager
async def server(url: str, amqp_url: str, mode: str) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    port = free_port()
    settings = {
        "PAYMENTS_DATABASE_URL": url,
        "AMQP_URL": amqp_url,
        "PAYMENTS_PORT": str(port),
        "PAYMENTS_STRIPE_WEBHOOK_SECRETS": SECRET,
        "PAYMENTS_LOG_LEVEL": "error",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.webhook_server", mode, env={**os.environ, **settings}
    )
    try:
        async with httpx.AsyncClient() as client:
            await eventually(lambda: _ready(client, port), seconds=60, what="the service ready")
        yield port, process
    finally:
        process.terminate()
        await process.wait()


async def _ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/health/ready")).is_success
    except httpx.TransportError:
        return False
