"""A whole history from import to verified totals, with the system's four processes, and live webhooks meanwhile.

``HISTORY_BOOKINGS`` (100,000) sets the size. A move that takes longer than a second for every 200 bookings, and ten
minutes, is given up; the document's loop goes over 100,000 bookings at most.
"""

import asyncio
import gc
import json
import os
import resource
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from benchmarks.infrastructure import Infrastructure
from benchmarks.processors import Meter
from benchmarks.table import Result, Row, Target
from support import stripe_payloads as stripe
from support.history_system import history, prepare, settled
from support.legacy_history import facts
from support.system import System, system
from support.waiting import eventually

BOOKINGS = int(os.environ.get("HISTORY_BOOKINGS", "100000"))
_AT_ONCE = 100_000
_LOOP_BOOKINGS = min(BOOKINGS, 100_000)
_PER_SECOND = 25
_IDLE_SECONDS = 40  # a thousand webhooks: ten of them are above the 99th percentile
_LONGEST_SECONDS = max(600, BOOKINGS // 200)


async def measure(infrastructure: Infrastructure) -> Result:
    """Return the time of a whole move, what it did to live webhooks, and the document's own loop beside it."""
    with TemporaryDirectory() as directory:
        async with system(infrastructure.databases, await infrastructure.amqp_url(), Path(directory)) as whole:
            for start in range(0, BOOKINGS, _AT_ONCE):
                await prepare(whole, facts(min(_AT_ONCE, BOOKINGS - start), seed=1 + start))
            gc.collect()
            gc.freeze()  # the client's own collections, of all the facts made here, are no server's latency
            idle = await _idle(whole)
            async with asyncio.timeout(_LONGEST_SECONDS):
                moved = await _move(whole, infrastructure)
            loop = await documents_loop(whole)
    rows = [
        Row(f"import of {BOOKINGS:,} bookings: all told", moved.told, unit="s"),
        Row("… all linked, recorded and counted", moved.settled, unit="s"),
        Row("… and verified", moved.total, target=Target(at_most=60) if BOOKINGS == 100_000 else None, unit="s"),
        Row("cost per booking, import to verified", moved.total / BOOKINGS * 1e6, unit="µs"),
        *(Row(f"… processor time of {name}", spent / BOOKINGS * 1e6, unit="µs") for name, spent in moved.spent.items()),
        Row(f"live webhooks, p99 of {len(idle):,}, idle", p99(idle), unit="ms"),
        Row(
            f"live webhooks, p99 of {len(moved.webhooks):,}, meanwhile",
            p99(moved.webhooks),
            target=Target(at_most=2 * p99(idle)),
            unit="ms",
        ),
        Row(f"the document's loop over {_LOOP_BOOKINGS:,} of them, a query a booking", loop, unit="s"),
        Row("… per booking: links alone, no payment, no total", loop / _LOOP_BOOKINGS * 1e6, unit="µs"),
    ]
    failed = f"Checks that failed: {', '.join(moved.failed) or 'none'}, of which V12 and V13 wait for people."
    load = f"{_PER_SECOND} webhooks a second, due at their time; all processors {moved.busy}."
    waited = "; ".join(moved.waited) or "waited for nobody"
    return Result(rows, [failed, load, f"The import {waited}."])


@dataclass(frozen=True)
class Moved:
    """Seconds since the beginning, by stage; seconds of processor time by part; latencies of the webhooks meanwhile."""

    told: float
    settled: float
    total: float
    spent: Mapping[str, float]
    busy: str
    webhooks: Sequence[float]
    failed: Sequence[str]
    waited: Sequence[str]


async def _move(whole: System, infrastructure: Infrastructure) -> Moved:
    services = {name: each.pids for name, each in whole.services.items()}
    servers = {"PostgreSQL": infrastructure.postgres.pids, "RabbitMQ": infrastructure.rabbit.pids}
    meter, commands, started = Meter({**services, **servers}), _of_commands(), perf_counter()
    async with _webhooks(whole) as latencies:
        printed = await history(whole, "import", "--apply", "--by", "benchmark")
        told, of_import = perf_counter() - started, _of_commands() - commands
        await eventually(lambda: settled(whole), seconds=_LONGEST_SECONDS, every=0.5, what="everything counted")
        settled_at = perf_counter() - started
        output = await history(whole, "verify", "--wait", str(_LONGEST_SECONDS), "--json", code=None)
        total = perf_counter() - started
    of_verify = _of_commands() - commands - of_import
    spent = {"import": of_import, **meter.spent(), "verify": of_verify}
    failed = [check["name"] for check in json.loads(output)["checks"] if not check["passed"]]
    waited = [line for line in printed.splitlines() if line.startswith("waited ")]
    return Moved(told, settled_at, total, spent, f"{meter.busy():.0%} busy", latencies, failed, waited)


def _of_commands() -> float:
    """Seconds of processor time of the commands that ended: nothing else this process started has."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _idle(whole: System) -> list[float]:
    async with _webhooks(whole) as latencies:
        await asyncio.sleep(_IDLE_SECONDS)
    return latencies


@asynccontextmanager
async def _webhooks(whole: System) -> AsyncIterator[list[float]]:
    latencies: list[float] = []
    task = asyncio.create_task(_post(whole, latencies))
    try:
        yield latencies
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _post(whole: System, latencies: list[float]) -> None:
    """Post one payment's event every so often, in the open: a slow answer delays none of the next."""
    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as tasks:
        due = perf_counter()
        while True:
            tasks.create_task(_one(whole, client, due, latencies))
            due += 1 / _PER_SECOND
            await asyncio.sleep(max(0.0, due - perf_counter()))


async def _one(whole: System, client: httpx.AsyncClient, due: float, latencies: list[float]) -> None:
    name = uuid4().hex[:12]
    event = stripe.event("payment_intent.succeeded", stripe.payment_intent(f"pi_{name}"))
    signed = stripe.sign(event)
    answer = await client.post(f"{whole.payments.url}/api/webhooks/stripe", content=signed.body, headers=signed.headers)
    answer.raise_for_status()
    latencies.append(perf_counter() - due)


def p99(latencies: Sequence[float]) -> float:
    """Milliseconds under which 99 of 100 stayed."""
    return sorted(latencies)[len(latencies) * 99 // 100] * 1000


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
           FROM (SELECT * FROM bookings LIMIT $1) b WHERE "contactDetails" ->> 'email' IS NOT NULL""",
        _LOOP_BOOKINGS,
    )
    for person in people:
        await connection.execute(
            "INSERT INTO document_users (email, first_name) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE "
            "SET first_name = excluded.first_name",
            person["email"], person["first_name"],
        )  # fmt: skip
    bookings = await connection.fetch(
        """SELECT id, "contactDetails" ->> 'email' AS email FROM bookings LIMIT $1""", _LOOP_BOOKINGS
    )
    for booking in bookings:
        user = await connection.fetchval(_FIND, booking["email"])
        if user:
            await connection.execute("UPDATE bookings SET user_id = $1 WHERE id = $2", user, booking["id"])
    seconds = perf_counter() - started
    await connection.close()
    return seconds
