"""``payments``: what an operator types."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.main import NAME, create_app
from payments.service.operate_events import list_events, retry_event
from payments.settings import Settings
from shared.cli import Program, base_app, console, print_rows, run_app, with_engine

PROGRAM = Program(name=NAME, settings=Settings, create_app=create_app, migrations=Path(__file__).parent / "migrations")

app = base_app(PROGRAM)
events = typer.Typer(no_args_is_help=True, help="Stripe's events as stored.")
app.add_typer(events, name="events")


@events.command("list")
def list_command(
    failed: Annotated[bool, typer.Option("--failed", help="Only those that could not be applied")] = False,  # noqa: FBT002
    limit: Annotated[int, typer.Option(min=1)] = 50,
) -> None:
    """List stored events, latest first; a failed one without a next attempt waits for you."""

    async def work(engine: AsyncEngine) -> None:
        columns = ["id", "type", "state", "attempts", "next_attempt_at", "error"]
        print_rows(await list_events(engine, failed=failed, limit=limit), columns)

    with_engine(PROGRAM, work)


@events.command("retry")
def retry_command(id_: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Have a failed or quarantined event applied again, after the cause was mended."""

    async def work(engine: AsyncEngine) -> None:
        if not await retry_event(engine, id_):
            console.print(f"[red]there is no failed event {id_}[/]")
            raise typer.Exit(1)
        console.print(f"{id_} is due again")

    with_engine(PROGRAM, work)


def main() -> None:
    """Run the command line."""
    run_app(app, NAME)
