"""kill -9 of any process at any moment of an import, under live writes: the end is that of a run nobody disturbed."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from random import Random
from uuid import UUID

import asyncpg
import pytest

from local_stack.postgres import LocalPostgres
from local_stack.rabbitmq import LocalRabbit
from support.came_to import assert_came_to
from support.databases import Databases
from support.history_system import history, prepare, settled, typed
from support.legacy_due import Due, due
from support.legacy_generations import LAYOUTS
from support.legacy_history import facts
from support.system import SERVICES, System, system
from support.waiting import eventually

POINTS = int(os.environ.get("HISTORY_KILLS", "2"))
BOOKINGS = 150 * POINTS
Servers = Mapping[str, LocalPostgres | LocalRabbit]
IMPORT = ("import", "--apply")
FOR_PEOPLE = {"V12", "V13"}
VICTIMS = ("import", "bookings-gateway", "payments", "PostgreSQL", "users", "stats", "RabbitMQ")

_LIVE = """
    INSERT INTO bookings (id, "bookingReference", status, "contactDetails", "finalAmount")
    VALUES ($1, $2, 'PENDING', json_build_object('firstName', 'Liv', 'email', $2 || '@live.example'), 10)
    ON CONFLICT (id) DO NOTHING
"""
# Not one the import sets aside: a live change tells it all the same.
_TOUCH = """
    UPDATE bookings SET status = 'NO_SHOW'
    WHERE id = (SELECT id FROM bookings WHERE status = 'CANCELLED' AND "createdAt" < '2050-01-01'
                AND length(CAST("contactDetails" AS text)) < 1000 ORDER BY random() LIMIT 1)
"""
_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_GAPS = """
    SELECT subject FROM {schema}event_log GROUP BY subject
    HAVING count(*) <> max(sequence) OR min(sequence) <> 1
"""
_CHUNKS = "SELECT count(*) AS chunks FROM gateway.import_chunk"


@pytest.fixture
async def whole(
    databases: Databases, rabbit: LocalRabbit, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    async with system(databases, rabbit.url, tmp_path_factory.mktemp("logs")) as running:
        await asyncio.to_thread(rabbit.wait_until_kept, *(f"{service}.bulk" for service in SERVICES))
        yield running


def live_id(number: int) -> UUID:
    return UUID(int=number, version=4)


async def write_live(whole: System, stopping: asyncio.Event) -> int:
    """What the legacy application does meanwhile, knowing nothing of any of this; return how many bookings it made."""
    number = 0
    while not stopping.is_set():
        try:
            connection = await asyncpg.connect(whole.database_urls["bookings-gateway"])
            while not stopping.is_set():
                await connection.execute(_LIVE, live_id(number), f"live{number}")
                number += 1
                await connection.execute(_TOUCH)
                await asyncio.sleep(0.05)
            await connection.close()
        except _AWAY:
            await asyncio.sleep(0.1)
    return number


async def kill(whole: System, victim: str, servers: Servers) -> None:
    """End a process, all of a server's at once, and start it again."""
    if server := servers.get(victim):
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    elif victim in whole.services:
        whole.services[victim].signal(signal.SIGKILL)
        whole.services[victim].start()


async def disturbed(
    whole: System, victim: str, random: Random, servers: dict[str, LocalPostgres | LocalRabbit]
) -> None:
    """Go on with the import, and kill at a moment drawn: mostly when it has begun to tell rows."""
    before = (await whole.query("bookings-gateway", _CHUNKS))[0]["chunks"]
    command = await typed(whole, *IMPORT, "--by", "tests", "--force", "--chunk-rows", "20")

    async def is_telling() -> bool:
        return command.returncode is not None or (await whole.query("bookings-gateway", _CHUNKS))[0]["chunks"] > before

    if random.random() < 0.8:
        await eventually(is_telling, seconds=60, what="a chunk told")
    await asyncio.sleep(random.uniform(0, 0.4))  # the moment is what is drawn, nothing is waited for
    await kill(whole, victim, servers)
    if command.returncode is None:
        command.kill()
    await command.communicate()


def wanted(bookings: Due, *, live: int) -> Due:
    """What the bookings of the past and those made live come to."""
    for number in range(live):
        mailbox = f"live{number}@live.example"
        bookings.mailboxes[str(live_id(number))] = mailbox
        bookings.bookings[mailbox] += 1
        bookings.spent[mailbox] += 10
    bookings.users += live
    return bookings


@pytest.mark.timeout(120 + 30 * POINTS)
async def test_killed_anywhere_it_ends_as_if_nobody_had(
    whole: System, postgres: LocalPostgres, rabbit: LocalRabbit
) -> None:
    random, stopping, bookings = Random(POINTS), asyncio.Event(), facts(BOOKINGS, seed=31)
    await prepare(whole, bookings)
    live = asyncio.create_task(write_live(whole, stopping))
    for point in range(POINTS):
        await disturbed(whole, VICTIMS[point % len(VICTIMS)], random, {"PostgreSQL": postgres, "RabbitMQ": rabbit})
    stopping.set()
    made = await live
    await whole.wait_ready()
    await history(whole, *IMPORT, "--by", "tests", "--force")
    await eventually(lambda: settled(whole), seconds=120, what="everything settled")

    checks = json.loads(await history(whole, "verify", "--wait", "90", "--json", code=1))["checks"]
    assert [check for check in checks if not check["passed"] and check["name"] not in FOR_PEOPLE] == []
    await eventually(lambda: settled(whole), seconds=60, what="every total announced")
    await assert_came_to(whole.query, wanted(due(LAYOUTS["default"], bookings), live=made))
    total = (await whole.query("bookings-gateway", "SELECT count(*) AS rows FROM bookings"))[0]["rows"]
    assert total == BOOKINGS + made
    for service in ("bookings-gateway", "payments", "users"):
        schema = "gateway." if service == "bookings-gateway" else ""
        assert await whole.query(service, _GAPS.format(schema=schema)) == []
        assert await whole.query(service, f"SELECT reason FROM {schema}dead_letter") == []  # noqa: S608
