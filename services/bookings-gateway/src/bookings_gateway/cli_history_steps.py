"""``bookings-gateway history``: what is around the import: preflight, backup, report, error desk, checklist."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.cli_history import AsJson, By, run_history, show_counts
from bookings_gateway.history import compose
from bookings_gateway.history.backup import Backup, back_up
from bookings_gateway.history.checklist import STEPS, Look, do_step, step_named
from bookings_gateway.history.codes import WHAT_TO_DO
from bookings_gateway.history.contract import LEAST_AGE, contract
from bookings_gateway.history.desk import Desk
from bookings_gateway.history.preflight import preflight
from bookings_gateway.history.rehearse import rehearse
from bookings_gateway.history.report import is_genuine, markdown, report, signed
from bookings_gateway.history.steps import latest_steps
from bookings_gateway.history.verify import verify
from bookings_gateway.settings import Settings
from shared.cli import Program, console, print_rows

Directory = Annotated[Path, typer.Option(help="Where files are kept")]
Reason = Annotated[str, typer.Option(help="Why; kept with the decision")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...")]
Code = Annotated[str | None, typer.Option(help="All open entries of this code")]


def add_steps(app: typer.Typer, program: Program) -> None:
    """Add the commands around the import."""
    _add_before(app, program)
    _add_report(app, program)
    _add_checklist(app, program)
    app.add_typer(_errors(program), name="errors")


def _add_before(app: typer.Typer, program: Program) -> None:
    @app.command("preflight")
    def preflight_command(*, as_json: AsJson = False) -> None:
        """Look at everything first: the table, what stands in the way, and what an import would do."""

        async def work(engine: AsyncEngine, settings: Settings) -> bool:
            found = await preflight(compose.history(engine, settings))
            if as_json:
                console.print_json(json.dumps(found.as_json()))
                return found.passed
            print_rows(found.columns, ["field", "column", "type"])
            marks = {(True, False): "✓", (False, False): "!", (False, True): "✗"}
            print_rows([(marks[p.ok, p.blocks], p.what, p.found) for p in found.points], ["", "what", "found"])
            show_counts(found.prediction.counts)
            console.print("Nothing stands in the way." if found.passed else "[red]✗ stands in the way.[/]")
            return found.passed

        if not run_history(program, work):
            raise typer.Exit(1)

    @app.command("backup")
    def backup_command(directory: Directory = Path("backups")) -> None:
        """Dump the table by one snapshot, with a manifest; restore it elsewhere and compare."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            url = settings.database_url.get_secret_value()
            made = await back_up(compose.history(engine, settings), url, directory)
            console.print(f"{made.dump}: {made.manifest['rows']:,} rows, restored and compared", soft_wrap=True)
            console.print(f"It holds personal data: delete it by {made.manifest['delete_by']}.")

        run_history(program, work)

    @app.command("rehearse")
    def rehearse_command(
        manifest: Annotated[Path, typer.Argument(help="The manifest `history backup` wrote", exists=True)],
    ) -> None:
        """Import a copy of the backup and take it back; the checksum must be as before. The copy is dropped."""

        async def work(engine: AsyncEngine, settings: Settings) -> bool:
            backup = Backup(manifest.with_suffix(".dump"), json.loads(manifest.read_text()))
            url = settings.database_url.get_secret_value()
            evidence = await rehearse(compose.history(engine, settings), url, backup, program.migrations)
            console.print_json(json.dumps(evidence))
            return bool(evidence["passed"])

        if not run_history(program, work):
            raise typer.Exit(1)


def _add_report(app: typer.Typer, program: Program) -> None:
    @app.command("report")
    def report_command(by: By, directory: Directory = Path("reports")) -> None:
        """Verify, and write a signed report as JSON and as Markdown; exit code 1 on any difference."""

        async def work(engine: AsyncEngine, settings: Settings) -> bool:
            history = compose.history(engine, settings)
            async with compose.asking(settings) as others:
                verification = await verify(history, others)
            said = signed(await report(history, verification, by=by), compose.report_key(settings))
            name = f"history-{said['made_at'][:19].replace(':', '')}"
            await asyncio.to_thread(_write, directory, name, said)
            console.print(f"{directory / name}.json and .md", soft_wrap=True)
            return verification.passed

        if not run_history(program, work):
            raise typer.Exit(1)

    @app.command("check-report")
    def check_command(file: Annotated[Path, typer.Argument(exists=True)]) -> None:
        """Say whether a report is as it was signed."""
        genuine = is_genuine(json.loads(file.read_text()), compose.report_key(Settings()))
        console.print("as it was signed" if genuine else "[red]changed, or signed by another key[/]")
        raise typer.Exit(0 if genuine else 1)

    @app.command("contract")
    def contract_command(
        file: Annotated[Path, typer.Argument(help="A signed report", exists=True)],
        by: By,
        least_age_days: Annotated[int, typer.Option(min=0)] = LEAST_AGE.days,
    ) -> None:
        """Remove what only the move needed; wants a signed report, the whole checklist and some age."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            said, key = json.loads(file.read_text()), compose.report_key(settings)
            age = timedelta(days=least_age_days)
            await contract(compose.history(engine, settings), said, key, by=by, least_age=age)
            console.print("Removed. There is no way back from here.")

        run_history(program, work)


def _write(directory: Path, name: str, said: dict[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(said, indent=2, ensure_ascii=False))
    (directory / f"{name}.md").write_text(markdown(said))


def _add_checklist(app: typer.Typer, program: Program) -> None:
    @app.command("checklist")
    def checklist_command(
        step: Annotated[str | None, typer.Argument(help="Do this step; without, show all")] = None,
        name: Annotated[str | None, typer.Option(help="Who says so")] = None,
        note: Annotated[str | None, typer.Option(help="What was seen")] = None,
    ) -> None:
        """The customer's go-live checklist: steps that gather their evidence, or want a name and a note."""

        async def work(engine: AsyncEngine, settings: Settings) -> bool:
            history = compose.history(engine, settings)
            if step is None:
                async with engine.connect() as connection:
                    done = await latest_steps(connection)
                print_rows([_line(each, done) for each in STEPS], ["when", "step", "line", "", "by"])
                return True
            async with compose.asking(settings) as others:
                passed, evidence = await do_step(Look(history, others), step_named(step), name=name, note=note)
            console.print_json(json.dumps(evidence, default=str))
            console.print("passed" if passed else "[red]not passed[/]")
            return passed

        if not run_history(program, work):
            raise typer.Exit(1)


def _line(step: Any, done: Any) -> tuple[str, ...]:  # noqa: ANN401
    row = done.get(step.name)
    mark = "" if row is None else f"{'✓' if row['passed'] else '✗'} {row['done_at']:%Y-%m-%d %H:%M}"
    who = (row and row["name"]) or ("a person" if step.look is None and row is None else "")
    return step.phase, step.name, step.line, mark, who


def _errors(program: Program) -> typer.Typer:
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
            desk = Desk(compose.history(engine, settings))
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
            shown = await Desk(compose.history(engine, settings)).show(id_)
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
        """Say what a row should have said, and try it again; the legacy row itself stays as it is."""
        said = dict(_assignment(column) for column in columns)

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            await Desk(compose.history(engine, settings)).correct(id_, said, by=by, reason=reason)
            console.print("tried again")

        run_history(program, work)

    @app.command("waive")
    def waive_command(reason: Reason, by: By, ids: Ids = None, code: Code = None) -> None:
        """Decide that entries are left as they are; kept with the reason and the name."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            desk = Desk(compose.history(engine, settings))
            chosen = await desk.ids_of(code) if code else ids or []
            console.print(f"{await desk.waive(chosen, by=by, reason=reason):,} waived")

        run_history(program, work)

    @app.command("retry")
    def retry_command(by: By, ids: Ids = None, code: Code = None) -> None:
        """Try entries again as their rows are now."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            desk = Desk(compose.history(engine, settings))
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
