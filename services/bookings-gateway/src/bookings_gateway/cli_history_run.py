"""How every command of ``bookings-gateway history`` is run, and the options several have."""

import getpass
import os
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.errors import LegacyTableMissing, LegacyTableUnfit
from bookings_gateway.history.errors import HistoryError
from bookings_gateway.settings import Settings
from shared.cli import Program, console, with_engine
from shared.database import describe, is_transient

T = TypeVar("T")

_NICE = 10
By = Annotated[str, typer.Option("--by", help="Who does it", default_factory=getpass.getuser)]
AsJson = Annotated[bool, typer.Option("--json", help="For programs")]
Force = Annotated[bool, typer.Option("--force", help="Take over from a process that is surely gone")]


def run_history(program: Program, work: Callable[[AsyncEngine, Settings], Coroutine[Any, Any, T]]) -> T:
    """Run a command's work, standing back behind what is live; what an operator has to know becomes a sentence and exit
    code 1.
    """
    os.nice(_NICE)
    settings = Settings()
    try:
        return with_engine(program, lambda engine: work(engine, settings))
    except (HistoryError, LegacyTableMissing, LegacyTableUnfit) as error:
        console.print(f"[red]{error}[/]", soft_wrap=True)
        raise typer.Exit(1) from None
    except (DBAPIError, ConnectionError, TimeoutError) as error:
        if not is_transient(error):
            raise
        console.print(
            f"[red]The database broke off ({describe(error)}). What was committed stands; type the same again.[/]",
            soft_wrap=True,
        )
        raise typer.Exit(1) from None
