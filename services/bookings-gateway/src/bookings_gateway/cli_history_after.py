"""``bookings-gateway history``: what comes after the import: verification, report, checklist, clean-up."""

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.cli_history_run import AsJson, By, run_history
from bookings_gateway.cli_history_shown import show_verification
from bookings_gateway.history import compose
from bookings_gateway.history.checklist import STEPS, Look, do_step, step_named
from bookings_gateway.history.contract import LEAST_AGE, contract
from bookings_gateway.history.report import is_genuine, markdown, report, signed
from bookings_gateway.history.steps import latest_steps
from bookings_gateway.history.verify import Verification, verify
from bookings_gateway.settings import Settings
from shared.cli import Program, console, print_rows

_AGAIN_SECONDS = 0.5
Directory = Annotated[Path, typer.Option(help="Where files are kept")]


def add_after(app: typer.Typer, program: Program) -> None:
    """Add the commands."""
    _add_verify(app, program)
    _add_report(app, program)
    _add_checklist(app, program)


def _add_verify(app: typer.Typer, program: Program) -> None:
    @app.command("verify")
    def verify_command(
        *,
        wait: Annotated[float, typer.Option(min=0, help="Look again for so many seconds while events may come")] = 0,
        as_json: AsJson = False,
    ) -> None:
        """Check every row, payment, person and sum; exit code 1 on any difference."""

        async def work(engine: AsyncEngine, settings: Settings) -> Verification:
            deadline = time.monotonic() + wait
            async with compose.asking(settings) as others:
                while True:
                    result = await verify(compose.history(engine, settings), others)
                    if result.agrees or time.monotonic() > deadline:
                        return result
                    await asyncio.sleep(_AGAIN_SECONDS)

        result = run_history(program, work)
        if as_json:
            console.print_json(json.dumps(result.as_json()))
        else:
            show_verification(result)
        raise typer.Exit(0 if result.passed else 1)


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
