"""A fresh stats database per test, and an operator who types commands on it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from stats.cli import app


@dataclass
class Operator:
    """Types ``stats …`` and reads what it prints."""

    environment: dict[str, str]

    async def types(self, *words: str, code: int = 0) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, app, words, env=self.environment, color=False)
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        return result.output


@pytest.fixture
async def stats_engine(make_engine: Callable[[str], Awaitable[AsyncEngine]]) -> AsyncEngine:
    return await make_engine("stats")


@pytest.fixture
def operator(stats_engine: AsyncEngine) -> Operator:
    """On the same database; the broker is away."""
    url = stats_engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return Operator({"STATS_DATABASE_URL": url, "AMQP_URL": "amqp://nobody@127.0.0.1:1/", "COLUMNS": "200"})
