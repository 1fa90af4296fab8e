"""A rebuild killed at random points while live events go on and readers read: nobody notices."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.events import Event
from stats.handlers import JournalHandler
from stats.service import lock, read
from support.apply import apply
from support.events import booking, linked, merged, payment, registered
from support.statistics import fold, projected
from support.waiting import eventually

SEEDS = range(int(os.environ.get("KILL_SEEDS", "1")))
EVENTS = 9_000


def business(random: Random, users: list[str], count: int) -> list[Event]:
    """Bookings with links and payments of these users, now and then changed, relinked or merged."""
    events: list[Event] = [registered(user) for user in users]
    for number in range(count // 3):
        id_, user = str(uuid4()), random.choice(users)
        events += [booking(id_, amount=f"{number % 90}.50"), linked(id_, user), payment(str(uuid4()), id_)]
        if number % 10 == 0:
            events += [booking(id_, 2, amount="1.00"), linked(id_, random.choice(users), 2)]
    return events


@dataclass
class Reader:
    """Polls people nothing happens to; they must look the same whenever they are looked at."""

    engine: AsyncEngine
    users: list[UUID]
    seen: set[str] = field(default_factory=set)
    looks: int = 0

    async def look(self) -> None:
        while True:
            totals = await read.totals(self.engine, self.users)
            lines = await read.activity(self.engine, self.users[0], read.Wanted(limit=500))
            self.seen.add(
                f"{sorted((str(k), v.model_dump_json()) for k, v in totals.items())} {[str(x) for x in lines]}"
            )
            self.looks += 1
            await asyncio.sleep(0.002)


@dataclass
class Writer:
    """Lets live events happen, group by group, and remembers them; a group once begun is committed."""

    engine: AsyncEngine
    random: Random
    users: list[str]
    events: list[Event] = field(default_factory=list)

    async def write(self) -> None:
        handler = JournalHandler("/stats")
        while True:
            group = business(self.random, self.users, 9)[len(self.users) :]
            if self.random.random() < 0.1:
                number = len(self.events) + 1
                into = None if number % 2 else self.users[1]
                group.append(merged(self.users[0], into, number))
            self.events += group
            await to_its_end(apply(self.engine, handler, group))
            await asyncio.sleep(0.005)


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await it; who is cancelled meanwhile is cancelled when it is done, not before."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    finally:
        await task


@asynccontextmanager
async def going_on(*work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results


def start_rebuild(engine: AsyncEngine, log: Path, *options: str) -> subprocess.Popen[bytes]:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    environment = {**os.environ, "STATS_DATABASE_URL": url, "AMQP_URL": "amqp://nobody@127.0.0.1:1/"}
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "stats"), "rebuild", *options],
            env=environment,
            stdout=output,
            stderr=output,
        )


async def wait_for(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return await asyncio.to_thread(process.wait, seconds)
    except subprocess.TimeoutExpired:
        return None


async def at_work(engine: AsyncEngine, process: subprocess.Popen[bytes]) -> None:
    async def begun() -> bool:
        async with engine.connect() as connection:
            return process.poll() is not None or await lock.is_held(connection)

    await eventually(begun, seconds=30, what="the rebuild at work")


async def scalar(engine: AsyncEngine, sql: str) -> Any:
    async with engine.connect() as connection:
        return (await connection.execute(text(sql))).scalar()


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_rebuild_killed_again_and_again_under_live_load_ends_right_and_unnoticed(
    stats_engine: AsyncEngine, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    quiet, busy = [str(uuid4()) for _ in range(20)], [str(uuid4()) for _ in range(5)]
    before = business(random, quiet, EVENTS) + business(random, busy, 300)
    await apply(stats_engine, JournalHandler("/stats"), before)
    quietly = f"subject = ANY(ARRAY{quiet})"
    told = await scalar(stats_engine, f"SELECT count(*) FROM event_log WHERE {quietly}")  # noqa: S608
    reader = Reader(stats_engine, [UUID(user) for user in quiet])
    writer = Writer(stats_engine, random, busy)
    log = tmp_path / "rebuild.log"

    async with going_on(reader.look(), writer.write()):
        kills = 0
        while True:
            process = start_rebuild(stats_engine, log, "--rate", "1000")
            await at_work(stats_engine, process)
            code = await wait_for(process, 0.1 + random.random() * 2 if kills < 4 else 60)
            if code == 0:
                break
            assert code in (None, 1), log.read_text()  # 1: the server has not yet noticed that the last one died
            if code is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1

    assert kills >= 1
    assert "going on" in log.read_text()
    assert await projected(stats_engine) == fold(before + writer.events)
    assert await scalar(stats_engine, "SELECT schema FROM generation WHERE live") != "generation_1"
    assert reader.looks > 50
    assert len(reader.seen) == 1, "a reader saw something else"
    assert await scalar(stats_engine, f"SELECT count(*) FROM event_log WHERE {quietly}") == told  # noqa: S608


async def test_a_rebuild_is_paused_resumed_and_cancelled_from_another_terminal(
    stats_engine: AsyncEngine, operator: Any, tmp_path: Path
) -> None:
    users = [str(uuid4()) for _ in range(3)]
    await apply(stats_engine, JournalHandler("/stats"), business(Random(1), users, EVENTS))
    process = start_rebuild(stats_engine, tmp_path / "log", "--rate", "250")

    async def says(what: str) -> bool:
        return what in await operator.types("status")

    await eventually(lambda: says("(switch) by"), what="begun")
    assert "is run by" in await operator.types("rebuild", code=1)
    await operator.types("rebuild", "pause")
    await eventually(lambda: says("paused"), what="paused")
    await operator.types("rebuild", "resume")
    await operator.types("rebuild", "throttle", "350")
    assert "bulk" in await operator.types("status")
    await operator.types("rebuild", "cancel")
    assert await wait_for(process, 20) == 1
    assert await says("cancelled")
    assert await scalar(stats_engine, "SELECT count(*) FROM generation") == 1
    assert await scalar(stats_engine, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'generation%'") == 1
    assert "no rebuild is under way" in await operator.types("rebuild", "pause", code=1)
