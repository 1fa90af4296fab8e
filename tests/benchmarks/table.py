"""How results are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One figure: per second unless ``unit`` says otherwise, beside the floor of the same run."""

    what: str
    figure: float
    floor: float | None
    target: str
    unit: str = "/s"


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table."""
    table = Table("what", "figure", "of the floor", "target", title=title, title_justify="left")
    for row in rows:
        share = f"{row.figure / row.floor:.0%}" if row.floor else "—"
        table.add_row(row.what, f"{row.figure:,.0f} {row.unit}", share, row.target)
    Console(width=120).print(table)
