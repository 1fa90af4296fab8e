"""The operator's commands on statistics: rebuild, rollback, verify, status, generations, journal."""

import asyncio
import getpass
import socket
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.cli import Program, console, print_rows
from stats import display
from stats.errors import JournalNeeded, NoGeneration, RebuildRunning
from stats.service import generations, partial, retention, runs
from stats.service.rebuild import Cancelled, Order, Outcome, Rebuild, remove
from stats.service.rollback import roll_back
from stats.service.status import status

T = TypeVar("T")

SOURCE = "/stats"
_REFUSALS = (RebuildRunning, NoGeneration, JournalNeeded, Cancelled)


def add_operations(app: typer.Typer, program: Program) -> None:
    """Add the commands."""
    app.add_typer(_rebuild(program), name="rebuild")
    _add_looking(app, program)
    app.add_typer(_generations(program), name="generations")
    app.add_typer(_journal(program), name="journal")


def with_bulk_engine(program: Program, work: Callable[[AsyncEngine], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` with an engine for long statements; a refusal becomes a sentence and exit code 1."""

    async def run() -> T:
        engine = runs.bulk_engine(program.settings().database_url.get_secret_value())
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except _REFUSALS as refusal:
        console.print(f"[red]{refusal}[/]", soft_wrap=True)
        raise typer.Exit(1) from None


def operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _rebuild(program: Program) -> typer.Typer:
    app = typer.Typer(
        invoke_without_command=True, help="Rebuild the statistics from the journal, beside the live ones."
    )

    @app.callback()
    def rebuild(
        context: typer.Context,
        dry_run: Annotated[bool, typer.Option(help="Report differences, switch nothing")] = False,  # noqa: FBT002
        user: Annotated[UUID | None, typer.Option(help="Only this user, replaced in place")] = None,
        as_of: Annotated[
            datetime | None, typer.Option(help="Only report how statistics stood then; switches nothing")
        ] = None,
        rate: Annotated[int | None, typer.Option(min=1, help="At most so many events a second")] = None,
    ) -> None:
        """Build a fresh generation, catch up, compare, and switch to it. Safe to kill: the same command goes on."""
        if context.invoked_subcommand:
            return
        if user and not as_of:
            with_bulk_engine(program, lambda engine: _rebuild_user(engine, user, dry_run=dry_run))
            return
        purpose = "as-of" if as_of else "dry-run" if dry_run else "switch"
        order = Order(purpose, operator(), rate, as_of.astimezone() if as_of else None, user)
        with_bulk_engine(program, lambda engine: run_shown(engine, order))

    _add_steering(app, program)
    return app


async def run_shown(engine: AsyncEngine, order: Order) -> Outcome:
    """Rebuild with its progress on the screen, and print what came of it."""
    rebuild = Rebuild(engine, SOURCE)
    async with display.showing(rebuild.progress):
        outcome = await rebuild(order)
    await display.print_outcome(engine, outcome)
    return outcome


async def _rebuild_user(engine: AsyncEngine, user: UUID, *, dry_run: bool) -> None:
    result = await partial.rebuild_user(engine, SOURCE, user, operator=operator(), dry_run=dry_run)
    display.print_user(result)


def _add_steering(app: typer.Typer, program: Program) -> None:
    def wish(what: str, done: str) -> None:
        async def work(engine: AsyncEngine) -> None:
            async with engine.begin() as connection:
                heard = await runs.wish(connection, what)
            console.print(done if heard else "no rebuild is under way")
            if not heard:
                raise typer.Exit(1)

        with_bulk_engine(program, work)

    @app.command("pause")
    def pause() -> None:
        """Let the running rebuild rest after its present slice."""
        wish("pause", "it pauses after the present slice; go on with `stats rebuild resume`")

    @app.command("resume")
    def resume() -> None:
        """Let a paused rebuild go on."""
        wish("run", "it goes on")

    @app.command("cancel")
    def cancel() -> None:
        """End the running or interrupted rebuild and drop what it built. The live statistics are untouched."""
        wish("cancel", "cancelled")
        with_bulk_engine(program, _clear_away)

    @app.command("throttle")
    def throttle(rate: Annotated[int, typer.Argument(min=0, help="Events a second; 0 for no limit")]) -> None:
        """Change the running rebuild's rate."""

        async def work(engine: AsyncEngine) -> None:
            async with engine.begin() as connection:
                if not await runs.throttle(connection, rate or None):
                    console.print("no rebuild is under way")
                    raise typer.Exit(1)
            console.print(f"at most {rate:,} events a second" if rate else "no limit")

        with_bulk_engine(program, work)


async def _clear_away(engine: AsyncEngine) -> None:
    """Drop a cancelled rebuild nobody drives any more; one that is driven ends itself."""
    try:
        async with runs.holding_lock(engine):
            async with engine.connect() as connection:
                run = await runs.unfinished(connection)
            if run:
                await remove(engine, run, state="cancelled")
    except RebuildRunning:
        return


def _add_looking(app: typer.Typer, program: Program) -> None:
    @app.command("rollback")
    def rollback() -> None:
        """Go back to the generation that was live before the last switch, brought up to date."""

        async def work(engine: AsyncEngine) -> None:
            back = await roll_back(engine, SOURCE)
            console.print(
                f"{back.live} is live again instead of {back.before}; {back.announced:,} users' totals announced; "
                f"live events waited {back.switch_ms:.0f} ms",
                soft_wrap=True,
            )

        with_bulk_engine(program, work)

    @app.command("verify")
    def verify(rate: Annotated[int | None, typer.Option(min=1, help="At most so many events a second")] = None) -> None:
        """Recompute everything from the journal and report every difference. Exit code 1 if there is any."""
        outcome = with_bulk_engine(program, lambda engine: run_shown(engine, Order("verify", operator(), rate)))
        if outcome.differences:
            raise typer.Exit(1)

    @app.command("status")
    def status_command() -> None:
        """Show generation, positions, lag, backlog, the last rebuild, drift, and what was set aside."""
        settings = program.settings()

        async def work(engine: AsyncEngine) -> None:
            depths = await display.queue_depths(settings.amqp_url.get_secret_value(), program.name)
            display.print_status(await status(engine), depths)

        with_bulk_engine(program, work)


def _generations(program: Program) -> typer.Typer:
    app = typer.Typer(no_args_is_help=True, help="Generations that are not live any more.")

    @app.command("drop")
    def drop() -> None:
        """Remove every generation but the live one; there is no rollback after that."""

        async def work(engine: AsyncEngine) -> None:
            async with runs.holding_lock(engine), engine.begin() as connection:
                schemas = await generations.droppable(connection)
                for schema in schemas:
                    await generations.drop(connection, schema)
            console.print(f"dropped: {', '.join(schemas) or 'none'}")

        with_bulk_engine(program, work)

    return app


def _journal(program: Program) -> typer.Typer:
    app = typer.Typer(no_args_is_help=True, help="The journal's months, and forgetting old ones.")

    @app.command("list")
    def list_() -> None:
        """List the journal's partitions."""

        async def work(engine: AsyncEngine) -> None:
            rows = await retention.partitions(engine)
            print_rows([list(row.values()) for row in rows], ["partition", "about rows", "size"])

        with_bulk_engine(program, work)

    @app.command("forget")
    def forget(
        partition: Annotated[str, typer.Argument(help="As listed, e.g. journal_2025_03")],
        yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only say what would go")] = False,  # noqa: FBT002
    ) -> None:
        """Forget a month's activity lines. What totals depend on is kept: a rebuild gives the same totals after it."""

        async def work(engine: AsyncEngine) -> None:
            loss = await retention.forget(engine, partition, really=yes)
            console.print(
                f"{partition}: {loss.kept:,} events are what a rebuild needs for today's totals and stay; "
                f"{loss.forgotten:,} older ones {'are gone' if yes else 'would go'}, with their activity lines: "
                f"no rebuild can show them again. {'' if yes else 'Nothing was changed; repeat it with --yes.'}",
                soft_wrap=True,
            )

        with_bulk_engine(program, work)

    return app
