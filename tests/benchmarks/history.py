"""A whole history from import to verified totals, with the system's four processes, and live webhooks meanwhile."""

import asyncio
import json
import os
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from benchmarks.infrastructure import Infrastructure
from benchmarks.table import Result, Row, Target
from support import stripe_payloads as stripe
from support.history_system import history, prepare, settled
from support.legacy_history import facts
from support.system import System, system
from support.waiting import eventually

BOOKINGS = int(os.environ.get("HISTORY_BOOKINGS", "100000"))
_PER_SECOND = 50
_IDLE_SECONDS = 15


async def measure(infrastructure: Infrastructure) -> Result:
    """Return the time of a whole move, what it did to live webhooks, and the document's own loop beside it."""
    with TemporaryDirectory() as directory:
        async with system(infrastructure.databases, await infrastructure.amqp_url(), Path(directory)) as whole:
            await prepare(whole, facts(BOOKINGS, seed=1))
            idle = await _webhooks(whole, seconds=_IDLE_SECONDS)
            moved, during = await _move(whole)
            loop = await documents_loop(whole)
    per_booking = moved.total / BOOKINGS * 1e6
    rows = [
        Row(f"import of {BOOKINGS:,} bookings: all told", moved.told, unit="s"),
        Row("… all linked, recorded and counted", moved.settled, unit="s"),
        Row("… and verified", moved.total, target=Target(at_most=60), unit="s"),
        Row("cost per booking", per_booking, unit="µs"),
        Row("live webhooks, p99, idle", idle, unit="ms"),
        Row("live webhooks, p99, meanwhile", during, target=Target(at_most=2 * idle), unit="ms"),
        Row("the document's loop over the same table: one query per booking", loop, unit="s"),
    ]
    return Result(rows, [f"{moved.checks}"])


class Moved:
    """Seconds since the beginning, by stage."""

    told = settled = total = 0.0
    checks = ""


async def _move(whole: System) -> tuple[Moved, float]:
    moved = Moved()
    started = perf_counter()
    async with _measuring_webhooks(whole) as latencies:
        await history(whole, "import", "--apply", "--by", "benchmark")
        moved.told = perf_counter() - started
        await eventually(lambda: settled(whole), seconds=900, what="everything linked, recorded and counted")
        moved.settled = perf_counter() - started
        output = await history(whole, "verify", "--wait", "300", "--json", code=None)
        moved.total = perf_counter() - started
    result = json.loads(output)
    moved.checks = ", ".join(check["name"] for check in result["checks"] if not check["passed"])
    return moved, _p99(latencies)


@asynccontextmanager
async def _measuring_webhooks(whole: System) -> AsyncIterator[list[float]]:
    latencies: list[float] = []
    task = asyncio.create_task(_post(whole, latencies))
    try:
        yield latencies
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _webhooks(whole: System, *, seconds: float) -> float:
    async with _measuring_webhooks(whole) as latencies:
        await asyncio.sleep(seconds)
    return _p99(latencies)


async def _post(whole: System, latencies: list[float]) -> None:
    """Post one payment's event every so often, in the open: a slow answer delays none of the next."""
    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as tasks:
        while True:
            tasks.create_task(_one(whole, client, latencies))
            await asyncio.sleep(1 / _PER_SECOND)


async def _one(whole: System, client: httpx.AsyncClient, latencies: list[float]) -> None:
    name = uuid4().hex[:12]
    event = stripe.event("payment_intent.succeeded", stripe.payment_intent(f"pi_{name}"))
    signed = stripe.sign(event)
    started = perf_counter()
    answer = await client.post(f"{whole.payments.url}/api/webhooks/stripe", content=signed.body, headers=signed.headers)
    answer.raise_for_status()
    latencies.append(perf_counter() - started)


def _p99(latencies: Sequence[float]) -> float:
    return statistics.quantiles(latencies, n=100)[-1] * 1000


_FIND = "SELECT id FROM document_users WHERE email = $1"


async def documents_loop(whole: System) -> float:
    """The customer's document, scripts 1 and 2, made to run: users, then a query and an update per booking."""
    connection = await asyncpg.connect(whole.database_urls["bookings-gateway"])
    await connection.execute("ALTER TABLE bookings DISABLE TRIGGER USER")
    await connection.execute(
        "CREATE TABLE document_users (id uuid DEFAULT gen_random_uuid(), email text UNIQUE, first_name text)"
    )
    started = perf_counter()
    people: list[Any] = await connection.fetch(
        """SELECT DISTINCT "contactDetails" ->> 'email' AS email, "contactDetails" ->> 'firstName' AS first_name
           FROM bookings WHERE "contactDetails" ->> 'email' IS NOT NULL"""
    )
    for person in people:
        await connection.execute(
            "INSERT INTO document_users (email, first_name) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE "
            "SET first_name = excluded.first_name",
            person["email"], person["first_name"],
        )  # fmt: skip
    bookings = await connection.fetch("""SELECT id, "contactDetails" ->> 'email' AS email FROM bookings""")
    for booking in bookings:
        user = await connection.fetchval(_FIND, booking["email"])
        if user:
            await connection.execute("UPDATE bookings SET user_id = $1 WHERE id = $2", user, booking["id"])
    seconds = perf_counter() - started
    await connection.close()
    return seconds
