"""``payments events``: Stripe's events as stored."""

import getpass
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.service.operate_events import (
    StoredEvent,
    ignore_event,
    list_events,
    retry_event,
    retry_events,
    show_event,
)
from shared.cli import Program, console, print_rows, with_engine

Id = Annotated[str, typer.Argument(metavar="ID", help="The event's id (evt_…)")]


class State(StrEnum):
    """What became of an event; one that was just received waits to be processed."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class Retriable(StrEnum):
    """The states in which an event took no effect."""

    FAILED = State.FAILED.value
    QUARANTINED = State.QUARANTINED.value
    IGNORED = State.IGNORED.value


def events_app(program: Program) -> typer.Typer:
    """Return the commands."""
    app = typer.Typer(no_args_is_help=True, help="Stripe's events as stored.")
    _add_reading(app, program)
    _add_deciding(app, program)
    return app


def _add_reading(app: typer.Typer, program: Program) -> None:
    @app.command("list")
    def list_command(
        failed: Annotated[bool, typer.Option("--failed", help="The same as --state failed")] = False,  # noqa: FBT002
        state: Annotated[State | None, typer.Option(help="Only those in this state")] = None,
        limit: Annotated[int, typer.Option(min=1)] = 50,
    ) -> None:
        """List stored events, latest first; a failed one without a next attempt waits for you."""

        async def work(engine: AsyncEngine) -> None:
            columns = ["id", "type", "state", "attempts", "received_at", "next_attempt_at", "error"]
            print_rows(await list_events(engine, state=State.FAILED if failed else state, limit=limit), columns)

        with_engine(program, work)

    @app.command("show")
    def show_command(id_: Id) -> None:
        """Show one event: what became of it, its deliveries, decisions about it, and its content."""

        async def work(engine: AsyncEngine) -> None:
            stored = await show_event(engine, id_)
            if stored is None:
                _refuse(f"there is no event {id_}")
            else:
                _print(stored)

        with_engine(program, work)


def _add_deciding(app: typer.Typer, program: Program) -> None:
    @app.command("retry")
    def retry_command(
        id_: Annotated[str | None, typer.Argument(metavar="ID", help="The event's id (evt_…)")] = None,
        everything: Annotated[bool, typer.Option("--all", help="All that failed, or are in --state")] = False,  # noqa: FBT002
        state: Annotated[Retriable | None, typer.Option(help="With --all: only those in this state")] = None,
        type_: Annotated[str | None, typer.Option("--type", help="With --all: only those of this type")] = None,
    ) -> None:
        """Have a failed, quarantined or ignored event applied again, or all, after the cause was mended."""
        if (id_ is None) is not everything or (id_ and (state or type_)):
            raise typer.BadParameter("name one event, or say --all, with --state and --type if need be")

        async def work(engine: AsyncEngine) -> None:
            by = getpass.getuser()
            if id_ is None:
                count = await retry_events(engine, state=state or Retriable.FAILED, type_=type_, by=by)
                console.print(f"{count:,} due again")
            elif await retry_event(engine, id_, by=by):
                console.print(f"{id_} is due again")
            else:
                _refuse(f"there is no failed, quarantined or ignored event {id_}")

        with_engine(program, work)

    @app.command("ignore")
    def ignore_command(
        id_: Id, reason: Annotated[str, typer.Option(help="Why it is not to be applied", show_default=False)]
    ) -> None:
        """Decide that an event is not to be applied; it is kept, with who decided, when and why."""

        async def work(engine: AsyncEngine) -> None:
            if not await ignore_event(engine, id_, reason=reason, by=getpass.getuser()):
                _refuse(f"there is no event {id_} that waits, failed or is quarantined")
            console.print(f"{id_} is ignored")

        with_engine(program, work)


def _refuse(sentence: str) -> None:
    console.print(f"[red]{sentence}[/]")
    raise typer.Exit(1)


def _print(stored: StoredEvent) -> None:
    _print_fields(stored.event)
    for delivery in stored.deliveries:
        console.print("\ndelivery", markup=False)
        _print_fields({name: value for name, value in delivery.items() if name != "headers"})
        _print_fields(dict(delivery["headers"]))
    for decision in stored.decisions:
        console.print("\ndecision", markup=False)
        _print_fields(decision)
    console.print()
    content = json.dumps(json.loads(stored.body), indent=2, ensure_ascii=False)
    console.print(content.encode(errors="backslashreplace").decode(), markup=False, highlight=False, soft_wrap=True)


def _print_fields(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if value is not None:
            console.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)
