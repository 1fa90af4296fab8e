"""``stats rollback``, ``verify``, ``status``, ``generations``, ``journal``."""

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.cli import Program, console, print_rows
from stats import display
from stats.cli_engine import SOURCE, operator, run_shown, with_bulk_engine
from stats.cli_rebuild import rebuild_app
from stats.service import generations, retention
from stats.service.lock import holding_lock
from stats.service.rebuild import Order
from stats.service.rollback import roll_back
from stats.service.status import status


def add_operations(app: typer.Typer, program: Program) -> None:
    """Add all the operator's commands on statistics."""
    app.add_typer(rebuild_app(program), name="rebuild")
    _add_rollback(app, program)
    _add_looking(app, program)
    app.add_typer(_generations(program), name="generations")
    app.add_typer(_journal(program), name="journal")


def _add_rollback(app: typer.Typer, program: Program) -> None:
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


def _add_looking(app: typer.Typer, program: Program) -> None:
    @app.command("verify")
    def verify(rate: Annotated[int | None, typer.Option(min=1, help="At most so many events a second")] = None) -> None:
        """Recompute everything from the journal and report every difference. Exit code 1 if there is any."""

        async def work(engine: AsyncEngine) -> int:
            outcome = await run_shown(engine, Order("verify", operator(), rate))
            await display.print_outcome(engine, outcome)
            return outcome.differences

        if with_bulk_engine(program, work):
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
            async with holding_lock(engine), engine.begin() as connection:
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
