"""``bookings-gateway shadow``: what the parallel run found, for an operator."""

import asyncio
from typing import Any

import typer
from rich.table import Table

from bookings_gateway.rollout.report import report
from bookings_gateway.settings import Settings
from shared.cli import console
from shared.database import create_engine

shadow_app = typer.Typer(no_args_is_help=True, help="The parallel run of old and new answers.")


@shadow_app.callback()
def _group() -> None:
    """Keep ``report`` a command of its own."""


@shadow_app.command("report")
def report_command() -> None:
    """Show the differences found so far, grouped by field; exit code 1 if there are any, or nothing was compared."""
    found = asyncio.run(_report(Settings()))
    compared = found["compared"]
    console.print(
        f"{compared['rows']} bookings in {compared['comparisons']} comparisons since {compared['since'] or 'never'}: "
        f"{compared['rowsDifferent']} differed, {compared['failures']} comparisons failed."
    )
    if found["differences"]:
        console.print(_table(found["differences"]))
    if found["differences"] or not compared["rows"]:
        raise typer.Exit(1)


async def _report(settings: Settings) -> dict[str, Any]:
    url = settings.database_url.get_secret_value()
    engine = create_engine(url, name="bookings-gateway shadow", pool_size=1, search_path="gateway,public")
    try:
        async with engine.connect() as connection:
            return await report(connection)
    finally:
        await engine.dispose()


def _table(differences: list[dict[str, Any]]) -> Table:
    table = Table("field", "kind", "count", "first seen", "last seen", "bookings, for example")
    for group in differences:
        samples = ", ".join(group["bookingIds"][:2])
        seen = (group["firstSeen"][:19], group["lastSeen"][:19])
        table.add_row(group["field"], group["kind"], str(group["count"]), *seen, samples)
    return table
