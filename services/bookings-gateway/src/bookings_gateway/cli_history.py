"""``bookings-gateway history``: moving the history across, step by step."""

import asyncio
import getpass
import json
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.errors import LegacyTableMissing, LegacyTableUnfit
from bookings_gateway.history import compose
from bookings_gateway.history.counts import Counts
from bookings_gateway.history.errors import HistoryError
from bookings_gateway.history.importer import CHUNK_ROWS, Importer
from bookings_gateway.history.move import History, Prediction
from bookings_gateway.history.progress import Status, Watch, pace_of
from bookings_gateway.history.rollback import Rollback, changed_since, outlook
from bookings_gateway.history.throttle import Limits, Throttle
from bookings_gateway.history.verify import Verification, verify
from bookings_gateway.settings import Settings
from shared.cli import Program, console, print_rows, with_engine

T = TypeVar("T")
_AGAIN_SECONDS = 0.5
By = Annotated[str, typer.Option("--by", help="Who does it", default_factory=getpass.getuser)]
AsJson = Annotated[bool, typer.Option("--json", help="For programs")]
Force = Annotated[bool, typer.Option("--force", help="Take over from a process that is surely gone")]


def history_app(program: Program) -> typer.Typer:
    """Return the commands."""
    app = typer.Typer(no_args_is_help=True, help="Move the bookings of the past across; look, verify, and back.")
    _add_import(app, program)
    _add_looking(app, program)
    _add_rollback(app, program)
    return app


def run_history(program: Program, work: Callable[[AsyncEngine, Settings], Coroutine[Any, Any, T]]) -> T:
    """Run a command's work; what an operator has to know becomes a sentence and exit code 1."""
    settings = Settings()
    try:
        return with_engine(program, lambda engine: work(engine, settings))
    except (HistoryError, LegacyTableMissing, LegacyTableUnfit) as error:
        console.print(f"[red]{error}[/]", soft_wrap=True)
        raise typer.Exit(1) from None


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
        as_json: AsJson = False,
    ) -> None:
        """Tell every booking of the past, once. Without --apply it says exactly what would come of it."""

        async def work(engine: AsyncEngine, settings: Settings) -> None:
            history = compose.history(engine, settings)
            if not apply:
                show_prediction(await history.predict(), as_json=as_json)
                return
            limits = Limits(outbox_rows, queue_messages, live_p95_ms)
            async with compose.asking(settings) as others:
                throttle = Throttle(engine, limits, others)
                holding = history.importing(by=by, force=force, chunk_rows=chunk_rows)
                async with throttle.watching(), holding as importer:
                    await _follow(history, importer, throttle)
            show_counts(await history.counts(), as_json=as_json)

        run_history(program, work)

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
    total, begun = status.total, status.total - status.left
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
            while reason := throttle.reason:
                bar.update(task, pace=f"waiting: {reason}")
                await importer.say(reason)
                await throttle.pause()


def show_prediction(prediction: Prediction, *, as_json: bool) -> None:
    """Print what an import would do."""
    if as_json:
        console.print_json(json.dumps({**prediction.counts.as_json(), "users": prediction.users}))
        return
    show_counts(prediction.counts)
    console.print(f"users: {prediction.users:,}, of them placeholders: {prediction.counts.placeholders:,}")
    if prediction.set_aside:
        shown = [(item.booking_id, item.code, item.detail) for item in prediction.set_aside[:50]]
        print_rows(shown, ["set aside", "code", "why"])
    console.print("Nothing was changed. --apply does it.")


def show_counts(counts: Counts, *, as_json: bool = False) -> None:
    """Print counts as tables, or as JSON."""
    if as_json:
        console.print_json(json.dumps(counts.as_json()))
        return
    for name in ("outcomes", "classes", "contacts", "statuses", "reviews"):
        rows = sorted(getattr(counts, name).items())
        if rows:
            _table(name, [(kind, f"{number:,}") for kind, number in rows])
    money = [
        (class_, currency, month, f"{sums.rows:,}", f"{sums.amount:,.2f}", f"{sums.refunded:,.2f}")
        for (class_, currency, month), sums in sorted(_by_year(counts).items())
    ]
    _table("money by class and year", money, ["class", "currency", "year", "rows", "amount", "refunded"])
    console.print(f"total: {counts.total:,}")


def _by_year(counts: Counts) -> dict[tuple[str, str, str], Any]:
    """Months are for verification and report; a screen shows years."""
    from bookings_gateway.history.counts import Money

    years: dict[tuple[str, str, str], Money] = {}
    for (class_, currency, month), sums in counts.money.items():
        years.setdefault((class_, currency, month[:4]), Money()).add(sums.rows, sums.amount, sums.refunded)
    return years


def _table(title: str, rows: list[Any], headings: list[str] | None = None) -> None:
    table = Table(title=title, title_justify="left", show_header=headings is not None)
    for heading in headings or ["", ""]:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _add_looking(app: typer.Typer, program: Program) -> None:
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


def show_status(console: Console, status: Status) -> None:
    """Print where the move stands."""
    told = status.as_json()
    seen = f", seen {told['heartbeatSeconds']:.0f} s ago" if told["heartbeatSeconds"] is not None else ""
    console.print(f"[bold]{status.state}[/]{seen}{f': {status.remark}' if status.remark else ''} {pace_of(status)}")
    rows = [
        ("bookings", *_cells(told["bookings"]), f"total {status.total:,}"),
        ("links", *_cells(told["links"])),
        ("payments", *_cells(told["payments"])),
        ("queued", *_cells(told["queued"])),
    ]
    table = Table(show_header=False)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if status.stages["in_review"]:
        console.print(f"{status.stages['in_review']:,} bookings are for review: `history errors list --review`")


def _cells(counts: dict[str, int]) -> list[str]:
    return [f"{name} {number:,}" for name, number in counts.items()]


def show_verification(result: Verification) -> None:
    """Print every check, with the rows behind a difference."""
    table = Table(title="Invariants", title_justify="left")
    for heading in ("", "", "claim", "expected", "actual"):
        table.add_column(heading)
    for check in result.checks:
        mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
        table.add_row(mark, check.name, check.claim, check.expected, check.actual)
    console.print(table)
    for check in result.checks:
        if check.rows:
            more = f" and {check.behind - len(check.rows):,} more" if check.behind > len(check.rows) else ""
            console.print(f"{check.name}: {', '.join(check.rows)}{more}", soft_wrap=True)
    console.print("[green]Everything agrees.[/]" if result.passed else "[red]There are differences.[/]")


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
