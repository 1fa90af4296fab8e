"""``bookings-gateway history``: what comes before the import: looking over, a backup, a rehearsal."""

import json
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.cli_history_run import AsJson, run_history
from bookings_gateway.cli_history_shown import show_counts
from bookings_gateway.history import compose
from bookings_gateway.history.backup import Backup, back_up
from bookings_gateway.history.preflight import preflight
from bookings_gateway.history.rehearse import rehearse
from bookings_gateway.settings import Settings
from shared.cli import Program, console, print_rows

Directory = Annotated[Path, typer.Option(help="Where files are kept")]


def add_before(app: typer.Typer, program: Program) -> None:
    """Add the commands."""

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
