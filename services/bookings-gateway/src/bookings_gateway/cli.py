"""``bookings-gateway``: what an operator types."""

import asyncio
from pathlib import Path

import typer

from bookings_gateway.cli_history import history_app
from bookings_gateway.cli_shadow import shadow_app
from bookings_gateway.cli_staff import staff_app, tokens_app
from bookings_gateway.errors import LegacyTableBusy, LegacyTableMissing, LegacyTableUnfit
from bookings_gateway.install import install
from bookings_gateway.main import NAME, SEARCH_PATH, create_app
from bookings_gateway.settings import Settings
from shared.cli import Program, base_app, console, run_app
from shared.database import create_engine


def install_on_legacy_table() -> None:
    """Put column and trigger on the legacy table; exits with a sentence when that is impossible."""
    try:
        done = asyncio.run(_install(Settings()))
    except (LegacyTableMissing, LegacyTableUnfit, LegacyTableBusy) as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(1) from None
    console.print(f"{NAME}: added to the legacy table: {', '.join(done) or 'nothing, all was there'}")


async def _install(settings: Settings) -> list[str]:
    url = settings.database_url.get_secret_value()
    engine = create_engine(url, name=f"{NAME} migrate", pool_size=1, search_path=SEARCH_PATH)
    try:
        return await install(engine, settings.legacy_table, settings.layout)
    finally:
        await engine.dispose()


PROGRAM = Program(
    name=NAME,
    settings=Settings,
    create_app=create_app,
    migrations=Path(__file__).parent / "migrations",
    search_path=SEARCH_PATH,
    after_migrate=install_on_legacy_table,
)

app = base_app(PROGRAM)
app.add_typer(history_app(PROGRAM), name="history")
app.add_typer(staff_app(PROGRAM), name="staff")
app.add_typer(tokens_app(PROGRAM), name="tokens")
app.add_typer(shadow_app, name="shadow")


def main() -> None:
    """Run the command line."""
    run_app(app, NAME)
