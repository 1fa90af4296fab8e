"""How results are shown: every figure beside the floor and the target it is held to."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Target:
    """What a figure must reach: a bound of its own, or a share of its floor (at least, or at most), or both."""

    at_least: float | None = None
    at_most: float | None = None
    of_floor: float | None = None
    most_of_floor: float | None = None

    def met(self, figure: float, floor: float | None) -> bool:
        return (
            (self.at_least is None or figure >= self.at_least)
            and (self.at_most is None or figure <= self.at_most)
            and (self.of_floor is None or floor is None or figure >= self.of_floor * floor)
            and (self.most_of_floor is None or floor is None or figure <= self.most_of_floor * floor)
        )

    def __str__(self) -> str:
        parts = (
            f"≥ {self.at_least:,.0f}" if self.at_least is not None else "",
            f"≤ {self.at_most:,.0f}" if self.at_most is not None else "",
            f"≥ {self.of_floor:.0%} of the floor" if self.of_floor is not None else "",
            f"≤ {self.most_of_floor:.0%} of the floor" if self.most_of_floor is not None else "",
        )
        return " and ".join(part for part in parts if part)


@dataclass(frozen=True)
class Row:
    """One figure in ``unit``, and the floor of the same run.

    ``cpu`` is this process's own unless a note says more, in µs per event.
    """

    what: str
    figure: float
    floor: float | None = None
    target: Target | None = None
    unit: str = "/s"
    cpu: float | None = None


@dataclass(frozen=True)
class Result:
    """Rows, and sentences that say where the time goes."""

    rows: Sequence[Row]
    notes: Sequence[str] = ()


def show(title: str, result: Result) -> None:
    """Print a table and its notes."""
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for heading in ("figure", "floor", "share", "CPU/event"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("target")
    table.add_column("", no_wrap=True)
    for row in result.rows:
        table.add_row(*_cells(row))
    console = Console(width=120)
    console.print(table)
    for note in result.notes:
        console.print(f"  {note}", highlight=False)
    console.print()


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        f"{row.figure:,.0f} {row.unit}",
        f"{row.floor:,.0f} {row.unit}" if row.floor else "—",
        f"{row.figure / row.floor:.0%}" if row.floor else "—",
        f"{row.cpu:,.0f} µs" if row.cpu else "—",
        str(row.target or ""),
        "" if row.target is None else "met" if row.target.met(row.figure, row.floor) else "MISSED",
    )
