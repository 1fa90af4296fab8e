"""The commands every service's command line has: serve, migrate, replay, dead-letters, outbox."""

import asyncio
import getpass
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from fastapi import FastAPI
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.channel import ReopeningChannel
from shared.database import create_engine, migrate
from shared.dead_letters import DeadLetters
from shared.publisher import RabbitPublisher
from shared.replay import FenceHeld, Selection, replay, reset_after_restore
from shared.server import serve
from shared.settings import ServiceSettings

T = TypeVar("T")

_PIPE_WIDTH = 200  # nobody wants what goes into a file or another program cut to the 80 of a guessed screen

console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)

_OUTBOX = text(
    """
    SELECT o.seq, l.type, l.subject, l.time, o.attempts, o.last_error
    FROM outbox o JOIN event_log l USING (seq) ORDER BY o.seq LIMIT :limit
    """
)


@dataclass(frozen=True, slots=True)
class Program:
    """What the common commands need to know of a service.

    ``after_migrate`` does what is needed beyond the service's own tables; it must be safe to repeat.
    """

    name: str
    settings: Callable[[], ServiceSettings]
    create_app: Callable[[], FastAPI]
    migrations: Path
    search_path: str | None = None
    after_migrate: Callable[[], None] | None = None


def base_app(program: Program) -> typer.Typer:
    """Return the command line with the common commands; the service adds its own."""
    app = typer.Typer(name=program.name, no_args_is_help=True, pretty_exceptions_enable=False)
    _add_serving(app, program)
    _add_replay(app, program)
    app.add_typer(_dead_letters(program), name="dead-letters")
    return app


def run_app(app: typer.Typer, name: str) -> None:
    """Run the command line; settings that do not fit become a sentence instead of a traceback."""
    try:
        app()
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            variable = "_".join(map(str, item["loc"])).upper()
            setting = variable if variable == "AMQP_URL" else f"{name.replace('-', '_').upper()}_{variable}"
            console.print(f"[red]{setting}[/]: {item['msg']}. Set it in the environment; see .env.example.")
        sys.exit(2)


def _add_serving(app: typer.Typer, program: Program) -> None:
    @app.command("serve")
    def serve_command() -> None:
        """Serve HTTP, send the outbox and consume events until stopped."""
        serve(program.settings(), name=program.name, create=program.create_app)

    @app.command("migrate")
    def migrate_command() -> None:
        """Create or update this service's tables; safe to repeat and to run twice at once."""
        url = program.settings().database_url.get_secret_value()
        migrate(url, program.migrations, search_path=program.search_path)
        with_engine(program, _mend_restored_log)
        if program.after_migrate:
            program.after_migrate()
        console.print(f"{program.name}: tables are up to date")

    @app.command("outbox")
    def outbox_command(limit: Annotated[int, typer.Option(min=1)] = 20) -> None:
        """Show the oldest events the broker has not confirmed yet."""

        async def work(engine: AsyncEngine) -> None:
            async with engine.connect() as connection:
                rows = (await connection.execute(_OUTBOX, {"limit": limit})).all()
            print_rows(rows, ["seq", "type", "subject", "time", "attempts", "last error"])

        with_engine(program, work)


async def _mend_restored_log(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        if mended := await reset_after_restore(connection):
            console.print(f"the log came from another server: {mended:,} events made readable here")


def _add_replay(app: typer.Typer, program: Program) -> None:
    @app.command("replay")
    def replay_command(
        to: Annotated[str, typer.Option(help="The service to send to: stats, users, payments, bookings-gateway")],
        type_: Annotated[str | None, typer.Option("--type", help="Only this event type")] = None,
        subject: Annotated[str | None, typer.Option(help="Only this aggregate")] = None,
        since: Annotated[datetime | None, typer.Option(help="Only events recorded since")] = None,
    ) -> None:
        """Send this service's recorded events again to one consumer, with their own ids.

        Repeating it changes nothing; live events are not delayed by it.
        """
        selection = Selection(type_, subject, since.astimezone() if since else None)
        url = program.settings().broker_url

        async def work(engine: AsyncEngine) -> None:
            total = 0
            with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
                task = progress.add_task("replaying", total=None)
                async with aclosing(RabbitPublisher(url)) as publisher, aclosing(ReopeningChannel(url)) as probe:
                    async for total in replay(engine, publisher, probe, to=to, selection=selection):
                        progress.update(task, description=f"replaying: {total:,} events sent to {to}")
            console.print(f"{total:,} events replayed to {to}")

        try:
            with_engine(program, work)
        except (LookupError, ConnectionError, FenceHeld) as error:
            console.print(f"[red]{error}[/]")
            raise typer.Exit(1) from None


def _dead_letters(program: Program) -> typer.Typer:
    app = typer.Typer(no_args_is_help=True, help="Events that could not be applied.")
    _add_reading(app, program)
    _add_deciding(app, program)
    return app


def _add_reading(app: typer.Typer, program: Program) -> None:
    @app.command("list")
    def list_command(
        state: Annotated[str, typer.Option(help="open, requeued, discarded or all")] = "open",
        type_: Annotated[str | None, typer.Option("--type", help="Only this event type")] = None,
        limit: Annotated[int, typer.Option(min=1)] = 100,
    ) -> None:
        """List dead letters, oldest first."""

        async def work(engine: AsyncEngine) -> None:
            wanted = None if state == "all" else state
            found = await DeadLetters(engine).find(state=wanted, type_=type_, limit=limit)
            columns = ["id", "type", "subject", "attempts", "last_failed_at", "state", "reason"]
            print_rows([[row[column] for column in columns] for row in found], columns)

        with_engine(program, work)

    @app.command("show")
    def show_command(id_: Annotated[int, typer.Argument(metavar="ID")]) -> None:
        """Show one dead letter with its event."""

        async def work(engine: AsyncEngine) -> None:
            row = await DeadLetters(engine).show(id_)
            if row is None:
                console.print(f"[red]there is no dead letter {id_}[/]")
                raise typer.Exit(1)
            for key, value in row.items():
                shown = bytes(value).decode(errors="backslashreplace") if key == "body" else value
                console.print(f"{key}: {shown}", markup=False, highlight=False)

        with_engine(program, work)


def _add_deciding(app: typer.Typer, program: Program) -> None:
    @app.command("requeue")
    def requeue_command(
        ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]...")] = None,
        everything: Annotated[bool, typer.Option("--all", help="All open ones")] = False,  # noqa: FBT002
        type_: Annotated[str | None, typer.Option("--type", help="With --all: only this event type")] = None,
    ) -> None:
        """Send dead letters back to be applied again, after the cause was mended."""
        if not ids and not everything:
            raise typer.BadParameter("name the ids, or say --all")
        url = program.settings().broker_url
        chosen = None if everything else ids

        async def work(engine: AsyncEngine) -> None:
            async with aclosing(RabbitPublisher(url)) as publisher:
                count = await DeadLetters(engine).requeue(
                    publisher, f"{program.name}.events", ids=chosen, by=getpass.getuser(), type_=type_
                )
            console.print(f"{count} requeued")

        with_engine(program, work)

    @app.command("discard")
    def discard_command(ids: Annotated[list[int], typer.Argument(metavar="ID...")]) -> None:
        """Decide that dead letters are not to be applied; they are kept, marked with who and when."""

        async def work(engine: AsyncEngine) -> None:
            console.print(f"{await DeadLetters(engine).discard(ids=ids, by=getpass.getuser())} discarded")

        with_engine(program, work)


def with_engine(program: Program, work: Callable[[AsyncEngine], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` with an engine of the service's database."""

    async def run() -> T:
        url = program.settings().database_url.get_secret_value()
        engine = create_engine(url, name=f"{program.name} cli", pool_size=4, search_path=program.search_path)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def print_rows(rows: Any, columns: list[str]) -> None:  # noqa: ANN401 - rows of any query
    table = Table(Column(columns[0], no_wrap=True), *columns[1:])  # an id is there to be copied
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table if rows else "none")
