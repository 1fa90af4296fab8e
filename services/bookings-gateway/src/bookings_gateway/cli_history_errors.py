"""``bookings-gateway history errors``: the error desk."""

import json
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.cli_history_run import By, run_history
from bookings_gateway.history import compose
from bookings_gateway.history.codes import WHAT_TO_DO
from bookings_gateway.history.desk import ErrorDesk
from bookings_gateway.settings import Settings
from shared.cli import Program, console, print_rows

Reason = Annotated[str, typer.Option(help="Why; kept with the decision")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...")]
Code = Annotated[str | None, typer.Option(help="All open entries of this code")]


def errors_app(program: Program) -> typer.Typer:
    """Return the commands."""
    app = typer.Typer(no_args_is_help=True, help="Rows set aside, and rows for review.")
    _add_error_reading(app, program)
    _add_error_deciding(app, program)
    return app


def _add_error_reading(app: typer.Typer, program: Program) -> None:
    @app.command("list")
    def list_command(
        code: Code = None,
        *,
        review: Annotated[bool, typer.Option("--review", help="Those for review instead")] = False,
        decided: Annotated[bool, typer.Option("--decided", help="Those decided on already")] = False,
        limit: Annotated[int, typer.Option(min=1)] = 100,
    ) -> None:
        """List entries with their code and how many of each there are."""
        undecided, done = ("review", "reviewed") if review else ("set_aside", "waived")

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            desk = ErrorDesk(compose.history(engine, settings))
            codes = sorted((await desk.by_code()).items())
            print_rows([(code, rows, WHAT_TO_DO.get(code)) for code, rows in codes], ["code", "open", "what to do"])
            found = await desk.find(states=[done if decided else undecided], code=code, limit=limit)
            columns = ["id", "state", "code", "detail", "attempts", "since", "decided_by", "reason"]
            print_rows([[row[column] for column in columns] for row in found], columns)

        run_history(program, work)

    @app.command("show")
    def show_command(id_: Annotated[str, typer.Argument(metavar="ID")]) -> None:
        """Show one entry with its row, which may hold personal data, and what was decided."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            shown = await ErrorDesk(compose.history(engine, settings)).show(id_)
            console.print_json(json.dumps(shown, default=str))

        run_history(program, work)


def _add_error_deciding(app: typer.Typer, program: Program) -> None:
    @app.command("fix")
    def fix_command(
        id_: Annotated[str, typer.Argument(metavar="ID")],
        columns: Annotated[list[str], typer.Option("--set", help="column=value, value as JSON or as it is")],
        reason: Reason,
        by: By,
    ) -> None:
        """Say what a row should have said, and try it again; exit code 1 when it is set aside again.

        The legacy row itself stays as it is.
        """
        said = dict(_assignment(column) for column in columns)

        async def work(engine: AsyncEngine, settings: Settings) -> bool:
            now = await ErrorDesk(compose.history(engine, settings)).correct(id_, said, by=by, reason=reason)
            told = bool(now["outcome"] == "published")
            console.print("told" if told else f"[red]set aside again: {now['code']}, {now['detail']}[/]")
            return told

        if not run_history(program, work):
            raise typer.Exit(1)

    @app.command("waive")
    def waive_command(reason: Reason, by: By, ids: Ids = None, code: Code = None) -> None:
        """Decide that entries are left as they are; kept with the reason and the name."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            desk = ErrorDesk(compose.history(engine, settings))
            chosen = await desk.ids_of(code) if code else ids or []
            console.print(f"{await desk.waive(chosen, by=by, reason=reason, code=code):,} waived")

        run_history(program, work)

    @app.command("retry")
    def retry_command(by: By, ids: Ids = None, code: Code = None) -> None:
        """Try entries again as their rows are now."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            desk = ErrorDesk(compose.history(engine, settings))
            chosen = await desk.ids_of(code) if code else ids or []
            done = await desk.retry(chosen, by=by)
            console.print(f"{done.again:,} tried again, {done.superseded:,} superseded by a newer version")

        run_history(program, work)


def _assignment(said: str) -> tuple[str, Any]:
    column, separator, value = said.partition("=")
    if not separator or not column:
        raise typer.BadParameter(f"{said!r} is not column=value")
    try:
        return column, json.loads(value)
    except ValueError:
        return column, value
