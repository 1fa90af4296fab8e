"""Statistics lost altogether come back from three replays, the same to the byte, while live events go on."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local_stack.rabbitmq import LocalRabbit
from support.databases import Databases
from support.load import flowing, load
from support.oracle import drained, projected_totals, totals_by_customers_sql
from support.system import System, system
from support.waiting import eventually

PRODUCERS = ("bookings-gateway", "users", "payments")
WIPE = """
    DROP SCHEMA generation_1 CASCADE;
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public
"""
TOTALS = "SELECT user_id::text, total_bookings, currencies, first_booking_date, last_booking_date, last_activity_date"
ACTIVITY = "SELECT event_id::text, user_id::text, kind, time, booking_id FROM generation_1.activity ORDER BY 1"


@pytest.fixture(scope="module")
async def whole(
    databases: Databases, rabbit: LocalRabbit, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    async with system(databases, rabbit.url, tmp_path_factory.mktemp("logs")) as running:
        yield running


async def statistics(whole: System) -> str:
    totals = await whole.query("stats", f"{TOTALS} FROM announced_totals ORDER BY 1")
    activity = await whole.query("stats", ACTIVITY)
    return json.dumps([[*map(str, row.values())] for row in [*totals, *activity]])


async def types(whole: System, service: str, *words: str) -> str:
    """Run a service's command and return what it printed."""
    program = Path(sys.executable).parent / service
    environment = {**os.environ, **whole.services[service].environment}
    done = await asyncio.to_thread(
        subprocess.run, [str(program), *words], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def wait_for_journal(whole: System, count: int) -> None:
    async def full() -> bool:
        rows = await whole.query("stats", "SELECT count(*) AS count FROM journal")
        return bool(rows[0]["count"] >= count)

    await eventually(full, seconds=30, what=f"{count} events in the journal")


async def test_wiped_statistics_come_back_identical_from_three_replays_while_live_events_go_on(whole: System) -> None:
    async with load(whole) as running:
        await flowing(running, 60)
    await drained(whole, seconds=30)
    before = await statistics(whole)
    events = (await whole.query("stats", "SELECT count(*) AS count FROM journal"))[0]["count"]

    whole.services["stats"].end()
    await whole.query_script("stats", WIPE)
    await types(whole, "stats", "migrate")
    whole.services["stats"].start()
    await whole.wait_ready()
    for producer in PRODUCERS:
        await types(whole, producer, "replay", "--to", "stats")
    await wait_for_journal(whole, events)

    async def are_back() -> bool:
        return await statistics(whole) == before

    await eventually(are_back, seconds=30, what="the statistics of before, announced")
    assert await projected_totals(whole) == await totals_by_customers_sql(whole)
    assert "no differences" in await types(whole, "stats", "verify")

    replays = asyncio.gather(*(types(whole, producer, "replay", "--to", "stats") for producer in PRODUCERS))
    async with httpx.AsyncClient(timeout=10, headers=whole.staff) as client:
        await a_live_booking_is_counted_soon(whole, client)
    await replays


async def a_live_booking_is_counted_soon(whole: System, client: httpx.AsyncClient) -> None:
    """And the gateway hears of it, although statistics were begun anew."""
    url = f"{whole.gateway.url}/api/admin/bookings"
    body = {"contactDetails": {"firstName": "Ann", "email": "api0@example.com"}, "finalAmount": "10.00"}
    rows = {row["id"]: row for row in (await client.get(url)).json()}
    user = next(row["user"] for row in rows.values() if row["customerEmail"] == "api0@example.com")
    id_ = (await client.post(url, json=body)).json()["id"]

    async def counted() -> bool:
        listed: dict[str, Any] = {row["id"]: row for row in (await client.get(url)).json()}
        known = listed[id_]["user"]
        return bool(known and known["totalBookings"] == user["totalBookings"] + 1)

    await eventually(counted, seconds=20, what="the live booking counted")
