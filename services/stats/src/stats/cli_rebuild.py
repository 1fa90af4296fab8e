"""``stats rebuild``: rebuild, and steer a rebuild that is under way from another terminal."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.cli import Program, console
from stats import display
from stats.cli_engine import SOURCE, operator, run_shown, with_bulk_engine
from stats.errors import RebuildRunning
from stats.service import partial, runs
from stats.service.lock import holding_lock
from stats.service.rebuild import Order, remove


def rebuild_app(program: Program) -> typer.Typer:
    """Return the commands of ``stats rebuild``."""
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
        with_bulk_engine(program, lambda engine: _rebuild(engine, order))

    _add_steering(app, program)
    _add_throttle(app, program)
    return app


async def _rebuild(engine: AsyncEngine, order: Order) -> None:
    await display.print_outcome(engine, await run_shown(engine, order))


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
        wish("cancel", "it ends after its present slice, and what it built goes")
        with_bulk_engine(program, _clear_away)


def _add_throttle(app: typer.Typer, program: Program) -> None:
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
        async with holding_lock(engine):
            async with engine.connect() as connection:
                run = await runs.unfinished(connection)
            if run:
                await remove(engine, run, state="cancelled")
                console.print("nobody was working on it any more: it is gone")
    except RebuildRunning:
        return
