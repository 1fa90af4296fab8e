"""What the operator's commands on statistics share: an engine for long statements, refusals as sentences."""

import asyncio
import getpass
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import sqlalchemy.exc
import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.cli import Program, console
from shared.database import describe, is_transient
from stats import progress
from stats.errors import Cancelled, JournalNeeded, NoGeneration, PersonChanging, RebuildRunning
from stats.service.lock import bulk_engine
from stats.service.rebuild import Order, Outcome, Rebuild

T = TypeVar("T")

SOURCE = "/stats"
_REFUSALS = (RebuildRunning, NoGeneration, JournalNeeded, PersonChanging, Cancelled)


def with_bulk_engine(program: Program, work: Callable[[AsyncEngine], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` with an engine for long statements; a refusal becomes a sentence and exit code 1."""

    async def run() -> T:
        engine = bulk_engine(program.settings().database_url.get_secret_value())
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except _REFUSALS as refusal:
        raise refuse(str(refusal)) from None
    except (OSError, sqlalchemy.exc.SQLAlchemyError) as error:
        if not is_transient(error):
            raise
        raise refuse(f"the database cannot be used now ({describe(error)}); repeat the command once it can") from None
    except KeyboardInterrupt:
        raise refuse("interrupted; nothing is lost, the same command goes on", code=130) from None


def refuse(sentence: str, *, code: int = 1) -> typer.Exit:
    """Print why not; return what to raise."""
    console.print(f"[red]{sentence}[/]", soft_wrap=True)
    return typer.Exit(code)


def operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


async def run_shown(engine: AsyncEngine, order: Order) -> Outcome:
    """Rebuild with its progress on the screen."""
    rebuild = Rebuild(engine, SOURCE)
    async with progress.showing(rebuild.progress):
        return await rebuild(order)
