"""The bulk lane has a process of its own, which never outlives the service's and is done without when it dies."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from local_stack.ports import free_port
from shared import event_log
from shared.database import create_engine
from support.sample_service import new_booking
from support.waiting import eventually

PROGRAM = """
import sys
from shared.server import serve
from shared.settings import ServiceSettings
from shared.web import create_app
from support.sample_service import sample_service

url, amqp_url, port = sys.argv[1:]
settings = ServiceSettings.model_validate({"database_url": url, "amqp_url": amqp_url, "port": port})
serve(
    settings,
    name="sample",
    create=lambda: create_app(sample_service(url, amqp_url), title="sample", description="A sample."),
)
"""
TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Served:
    """The sample service as it is served, and its database."""

    process: psutil.Process
    url: str
    engine: AsyncEngine

    @property
    def bulk(self) -> psutil.Process:
        (child,) = self.process.children()
        return child

    async def send(self, subject: str, *, bulk: bool) -> None:
        async with self.engine.begin() as connection:
            await event_log.append(connection, "/sample", [new_booking(subject)], bulk=bulk)

    async def applied_by(self, subject: str) -> int:
        """Wait for the effect of a booking and return which process made it."""

        async def pid() -> int | None:
            async with self.engine.connect() as connection:
                found = await connection.execute(text("SELECT pid FROM effect WHERE subject = :s"), {"s": subject})
                return found.scalar_one_or_none()

        return await eventually(pid, seconds=30, what=f"{subject} applied") or 0

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=10) as client:
            return await client.get(self.url + path)

    async def ready(self) -> bool:
        with suppress(httpx.TransportError):
            return (await self.get("/health/ready")).status_code == 200
        return False


def start(*arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], env=environment, stderr=subprocess.DEVNULL)


@pytest.fixture
async def served(make_database: Callable[[str], Awaitable[str]], amqp_url: str) -> AsyncIterator[Served]:
    url, port = await make_database("sample"), str(free_port())
    process = start(url, amqp_url, port)
    engine = create_engine(url, name="tests")
    service = Served(psutil.Process(process.pid), f"http://127.0.0.1:{port}", engine)
    try:
        await eventually(service.ready, seconds=30, what="the sample is served")
        yield service
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
        await engine.dispose()


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


async def gone(process: psutil.Process) -> None:
    async def is_so() -> bool:
        return is_gone(process)

    await eventually(is_so, seconds=20, what=f"the end of {process.pid}")


async def test_each_lane_has_its_process_and_the_bulk_one_stands_back(served: Served) -> None:
    await served.send("live", bulk=False)
    await served.send("bulk", bulk=True)

    assert await served.applied_by("live") == served.process.pid
    assert await served.applied_by("bulk") == served.bulk.pid
    assert served.bulk.nice() > served.process.nice()


async def test_what_the_bulk_process_counts_is_told_with_the_rest(served: Served) -> None:
    await served.send("bulk", bulk=True)

    async def counted() -> bool:
        told = (await served.get("/metrics")).text
        return 'consumed_events_total{outcome="applied",queue="sample.bulk"} 1.0' in told

    await eventually(counted, seconds=30, what="the bulk event counted")


async def test_a_bulk_process_that_dies_is_done_without(served: Served) -> None:
    served.bulk.kill()

    await served.send("bulk", bulk=True)

    assert await served.applied_by("bulk") == served.process.pid
    await eventually(served.ready, seconds=30, what="ready again")


async def test_a_bulk_process_that_freezes_is_told_by_readiness(served: Served) -> None:
    bulk = served.bulk
    bulk.suspend()

    async def red() -> bool:
        checks = (await served.get("/health/ready")).json()["checks"]
        return "has said nothing" in checks["bulk"]

    await eventually(red, seconds=40, what="a silent bulk process told")
    bulk.resume()
    await eventually(served.ready, seconds=30, what="ready again")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_bulk_process_never_outlives_the_service(served: Served, number: signal.Signals) -> None:
    bulk = served.bulk

    served.process.send_signal(number)

    await gone(bulk)
    await gone(served.process)
