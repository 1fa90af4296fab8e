"""kill -9 of any process at any moment of an import, under live writes: the end is that of a run nobody disturbed."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from random import Random

import asyncpg
import pytest

from local_stack.rabbitmq import LocalRabbit
from support.databases import Databases
from support.history_system import history, prepare, settled, typed
from support.legacy_history import facts
from support.system import SERVICES, System, system
from support.waiting import eventually

POINTS = int(os.environ.get("HISTORY_KILLS", "2"))
BOOKINGS = 150 * POINTS
FOR_PEOPLE = {"V12", "V13"}

_LIVE = """
    INSERT INTO bookings ("bookingReference", status, "contactDetails", "finalAmount")
    VALUES ($1, 'PENDING', json_build_object('firstName', 'Liv', 'email', $1 || '@live.example'), 10)
"""
_TOUCH = """
    UPDATE bookings SET status = 'NO_SHOW'
    WHERE id = (SELECT id FROM bookings WHERE status = 'CANCELLED' ORDER BY random() LIMIT 1)
"""
_GAPS = """
    SELECT subject FROM {schema}event_log GROUP BY subject
    HAVING count(*) <> max(sequence) OR min(sequence) <> 1
"""


@pytest.fixture
async def whole(
    databases: Databases, rabbit: LocalRabbit, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    async with system(databases, rabbit.url, tmp_path_factory.mktemp("logs")) as running:
        yield running


async def write_live(whole: System, stopping: asyncio.Event) -> int:
    """What the legacy application does meanwhile; it knows nothing of any of this."""
    connection = await asyncpg.connect(whole.database_urls["bookings-gateway"])
    number = 0
    while not stopping.is_set():
        await connection.execute(_LIVE, f"live{number}")
        await connection.execute(_TOUCH)
        number += 1
        await asyncio.sleep(0.05)
    await connection.close()
    return number


@pytest.mark.timeout(60 + 30 * POINTS)
async def test_killed_anywhere_it_ends_as_if_nobody_had(whole: System) -> None:
    random, stopping = Random(POINTS), asyncio.Event()
    await prepare(whole, facts(BOOKINGS, seed=31))
    live = asyncio.create_task(write_live(whole, stopping))
    for point in range(POINTS):
        victim = (["import", *SERVICES] * POINTS)[point]
        command = await typed(whole, "import", "--apply", "--by", "tests", "--force", "--chunk-rows", "20")
        await asyncio.sleep(random.uniform(0.4, 1.6))  # the moment is what is drawn, nothing is waited for
        if victim != "import":
            whole.services[victim].signal(signal.SIGKILL)
            whole.services[victim].start()
        if command.returncode is None:
            command.kill()
        await command.communicate()
    stopping.set()
    made = await live
    await history(whole, "import", "--apply", "--by", "tests", "--force")
    await whole.wait_ready()
    await eventually(lambda: settled(whole), seconds=90, what="everything settled")

    checks = json.loads(await history(whole, "verify", "--wait", "60", "--json", code=1))["checks"]
    assert [check for check in checks if not check["passed"] and check["name"] not in FOR_PEOPLE] == []
    total = (await whole.query("bookings-gateway", "SELECT count(*) AS rows FROM bookings"))[0]["rows"]
    assert total == BOOKINGS + made
    for service in ("bookings-gateway", "payments", "users"):
        schema = "gateway." if service == "bookings-gateway" else ""
        assert await whole.query(service, _GAPS.format(schema=schema)) == []
