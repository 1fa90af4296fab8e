"""A PostgreSQL (with fsync) and a RabbitMQ for the benchmarks, on ports of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack.ports import free_port
from local_stack.postgres import LocalPostgres
from local_stack.rabbitmq import LocalRabbit
from support.broker import sweep
from support.databases import Databases
from support.migrations import TEMPLATES

STATE = Path(__file__).parent.parent.parent / ".local" / "benchmarks"


@dataclass(frozen=True)
class Infrastructure:
    postgres: LocalPostgres
    rabbit: LocalRabbit
    databases: Databases

    async def amqp_url(self) -> str:
        """The broker, swept clean."""
        await sweep(self.rabbit.url)
        return self.rabbit.url


@asynccontextmanager
async def infrastructure() -> AsyncIterator[Infrastructure]:
    """Start both, and stop both afterwards."""
    postgres = LocalPostgres(STATE / "postgres", free_port())
    rabbit = LocalRabbit(STATE / "rabbitmq", free_port())
    try:
        postgres.start()
        rabbit.start()
        databases = Databases(postgres, TEMPLATES)
        await databases.sweep()
        yield Infrastructure(postgres, rabbit, databases)
    finally:
        rabbit.stop()
        postgres.stop()
