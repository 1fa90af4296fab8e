"""Real PostgreSQL and RabbitMQ for the whole run, on ports of their own, ended with it."""

import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from local_stack.ports import free_port
from local_stack.postgres import LocalPostgres
from local_stack.rabbitmq import LocalRabbit
from shared import logs
from shared.database import create_engine
from support.broker import sweep
from support.databases import Databases
from support.migrations import TEMPLATES

logs.configure(level="error", form="json")
os.environ.pop("COLUMNS", None)  # a test process started by another is given the width of a screen that is not there

STATE = Path(__file__).parent.parent / ".local" / "tests"


@pytest.fixture(scope="session")
def state() -> Iterator[Path]:
    """A directory no other test run uses now; its servers' data is kept for the next run's quick start."""
    for number in count():
        directory = STATE / str(number)
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield directory
            return


@pytest.fixture(scope="session")
def postgres(state: Path) -> Iterator[LocalPostgres]:
    server = LocalPostgres(state / "postgres", free_port(), fsync=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbit(state: Path) -> Iterator[LocalRabbit]:
    node = LocalRabbit(state / "rabbitmq", free_port())
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="session")
async def databases(postgres: LocalPostgres) -> Databases:
    found = Databases(postgres, TEMPLATES)
    await found.sweep()
    return found


@pytest.fixture
def make_database(databases: Databases) -> Callable[[str], Awaitable[str]]:
    """``await make_database("users")`` is the URL of a fresh database of that service."""
    return databases.create


@pytest.fixture
async def make_engine(databases: Databases) -> AsyncIterator[Callable[[str], Awaitable[AsyncEngine]]]:
    """``await make_engine("users")`` is an engine on a fresh database of that service."""
    engines: list[AsyncEngine] = []

    async def make(template: str) -> AsyncEngine:
        engines.append(create_engine(await databases.create(template), name="tests"))
        return engines[-1]

    yield make
    for engine in engines:
        await engine.dispose()


@pytest.fixture
async def amqp_url(rabbit: LocalRabbit) -> str:
    """The broker's URL, with nothing of an earlier test left on it."""
    await sweep(rabbit.url)
    return rabbit.url
