"""``bookings-gateway history``: the import and the way back, and steering either."""

import json
import sys
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.cli_history_run import AsJson, By, Force, run_history
from bookings_gateway.cli_history_shown import show_counts, show_prediction, show_status
from bookings_gateway.history import compose
from bookings_gateway.history.gates import require_ready
from bookings_gateway.history.importer import CHUNK_ROWS, Importer
from bookings_gateway.history.move import History
from bookings_gateway.history.pace import Watch
from bookings_gateway.history.rollback import Rollback, changed_since, outlook
from bookings_gateway.history.throttle import Limits, Throttle
from bookings_gateway.settings import Settings
from shared.cli import Program, console, print_rows


def add_import(app: typer.Typer, program: Program) -> None:
    """Add the commands."""
    _add_import(app, program)
    _add_steering(app, program)
    _add_status(app, program)
    _add_rollback(app, program)


def _add_import(app: typer.Typer, program: Program) -> None:
    @app.command("import")
    def import_command(
        by: By,
        *,
        apply: Annotated[bool, typer.Option("--apply", help="Do it; without, only say what would be done")] = False,
        force: Force = False,
        chunk_rows: Annotated[
            int | None, typer.Option(min=1, max=5_000, help=f"Most rows of one transaction; at first {CHUNK_ROWS}")
        ] = None,
        outbox_rows: Annotated[int, typer.Option(min=0, help="Wait while more events are unsent")] = 20_000,
        queue_messages: Annotated[int, typer.Option(min=0, help="Wait while more messages wait at a service")] = 1_000,
        live_p95_ms: Annotated[float, typer.Option(min=0, help="Wait while live requests take longer")] = 250.0,
        live_times: Annotated[float, typer.Option(min=0, help="… or so many times as long as usual; 0: never")] = 2.0,
        replica_lag_mb: Annotated[int, typer.Option(min=0, help="Wait while a replica is further behind")] = 64,
        as_json: AsJson = False,
    ) -> None:
        """Tell every booking of the past, once. Without --apply it says exactly what would come of it."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            history = compose.history(engine, settings)
            if not apply:
                show_prediction(await history.predict(), as_json=as_json)
                return
            warning = await require_ready(history, by=by)
            if warning and not as_json:
                console.print(f"[yellow]{warning}[/]")
            limits = Limits(outbox_rows, queue_messages, live_p95_ms, replica_lag_mb, live_times)
            async with compose.asking(settings) as others:
                throttle = Throttle(engine, limits, others)
                holding = history.importing(by=by, force=force, chunk_rows=chunk_rows)
                async with throttle.watching(), holding as importer:
                    await _follow(history, importer, throttle)
            if not as_json:
                for reason, seconds in throttle.waited.items():
                    console.print(f"waited {seconds:.0f} s: {reason}")
            show_counts(await history.counts(), as_json=as_json)

        run_history(program, work)


def _add_steering(app: typer.Typer, program: Program) -> None:
    @app.command("pause")
    def pause_command(by: By) -> None:
        """Have a running import stop after its chunk; `import --apply` goes on."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            was = await compose.history(engine, settings).pause(by=by)
            console.print("pausing" if was else "nothing is running")

        run_history(program, work)

    @app.command("tune")
    def tune_command(chunk_rows: Annotated[int, typer.Option(min=1, max=5_000)]) -> None:
        """Change how many rows a chunk has at most, also while the import runs."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            await compose.history(engine, settings).set_chunk_rows(chunk_rows)
            console.print(f"at most {chunk_rows} rows a chunk")

        run_history(program, work)


async def _follow(history: History, importer: Importer, throttle: Throttle) -> None:
    """Import with a bar on a terminal, lines in a pipe; wait while live work needs the room, and say why."""
    status = await history.status()
    total, begun = status.counted.total, status.counted.total - status.counted.left
    watch = Watch(total, begun)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    is_screen = sys.stdout.isatty()
    with Progress(*columns, TextColumn("{task.fields[pace]}"), console=console, disable=not is_screen) as bar:
        task = bar.add_task("importing", total=total, completed=begun, pace="")
        async for rows in importer.chunks():
            watch.add(rows)
            bar.update(task, completed=watch.done, total=max(total, watch.done), pace=watch.pace)
            if not is_screen and watch.is_line_due():
                console.print(f"{watch.done:,} of {total:,} {watch.pace}")
            async for reason in throttle.reasons():
                bar.update(task, pace=f"waiting: {reason}")
                await importer.say(reason)


def _add_status(app: typer.Typer, program: Program) -> None:
    @app.command("status")
    def status_command(*, as_json: AsJson = False) -> None:
        """Show where the move stands; its figures always sum to the total."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            status = await compose.history(engine, settings).status()
            if as_json:
                console.print_json(json.dumps(status.as_json()))
                return
            show_status(console, status)

        run_history(program, work)


def _add_rollback(app: typer.Typer, program: Program) -> None:
    @app.command("rollback")
    def rollback_command(
        *,
        apply: Annotated[bool, typer.Option("--apply", help="Do it; without, only say what it would touch")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would touch (the default)")] = False,
        force: Force = False,
    ) -> None:
        """Take back what was imported and nobody changed since. Nothing live is dropped; what was changed stays."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            history = compose.history(engine, settings)
            before = await outlook(engine)
            counts = (before.reversible, before.changed_since, before.untold, before.withdrawn)
            print_rows([counts], ["taken back", "changed since: stay", "never told", "back already"])
            if before.changed_since:
                print_rows(await changed_since(engine), ["stays", "version", "changed"])
            if dry_run or not apply:
                console.print("Nothing was changed. --apply does it.")
                return
            rollback = Rollback(engine, history.capture, history.name)
            taken = sum([rows async for rows in rollback.take_back(force=force)])
            console.print(f"{taken:,} bookings taken back; their links and payments follow by events")

        run_history(program, work)
