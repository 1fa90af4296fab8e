"""An event that kills the process is found out and set aside, and none of its neighbours with it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy import text

from shared.channel import ReopeningChannel
from shared.database import create_engine
from shared.dead_letters import DeadLetters
from shared.events import EVENT_CONTENT_TYPE
from shared.publisher import Outgoing, RabbitPublisher
from shared.topology import declare
from support.events import booking
from support.sample_service import KILL, effects, sample_service
from support.waiting import eventually

PROGRAM = """
import asyncio, sys
from support.sample_service import sample_service

async def main():
    async with sample_service(sys.argv[1], sys.argv[2]).running():
        await asyncio.Event().wait()

asyncio.run(main())
"""
TESTS = Path(__file__).parents[1]


def start(database_url: str, amqp_url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, database_url, amqp_url],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stderr=subprocess.DEVNULL,
    )


async def test_an_event_that_kills_the_process_is_set_aside_alone(
    make_database: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    url = await make_database("sample")
    holder, publisher = ReopeningChannel(amqp_url), RabbitPublisher(amqp_url)
    await declare(await holder.get(), sample_service(url, amqp_url).topology)
    bookings = [booking(f"b{number}", status=KILL if number == 20 else "PENDING") for number in range(50)]
    messages = [Outgoing(item.encode(), "sample.events", EVENT_CONTENT_TYPE, str(item.id)) for item in bookings]
    await publisher.publish(messages)
    engine = create_engine(url, name="tests")

    process, deaths = start(url, amqp_url), 0
    while await asyncio.to_thread(dies, process):
        deaths += 1
        process = start(url, amqp_url)

    async def all_applied() -> bool:
        return len(await effects(engine)) == 49

    await eventually(all_applied, seconds=20, what="the neighbours applied")
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    dead = await DeadLetters(engine).find()
    assert [(row["subject"], row["reason"].split(":")[0]) for row in dead] == [("b20", "KillsTheProcess")]
    assert 4 <= deaths <= 8
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM suspect"))).scalar_one() == 0
    await engine.dispose()
    await publisher.aclose()
    await holder.aclose()


def dies(process: subprocess.Popen[bytes]) -> bool:
    """Say whether the process died within a few seconds."""
    try:
        process.wait(8)
    except subprocess.TimeoutExpired:
        return False
    return True
