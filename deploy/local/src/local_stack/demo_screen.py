"""What the demo looks like: two tables that fill up hop by hop, the result, and where to look next."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from local_stack.demo_check import Person, Result
from local_stack.demo_clients import Json
from local_stack.demo_hops import Journey
from local_stack.services import SERVICES
from local_stack.stack import Stack

_ROWS = 9
_NARROW = 90
_NOTE = "* localstripe sends no event of a refund: the demo itself sends it, twice"


class _Progress:
    """The journeys as they are at the moment of looking."""

    def __init__(self, groups: Mapping[str, Sequence[Journey]]) -> None:
        self._groups = groups
        self._spinner = Spinner("dots", style="cyan")

    def __rich__(self) -> RenderableType:
        return Group(
            "", *(self._table(name, journeys) for name, journeys in self._groups.items()), Text(_NOTE, style="dim")
        )

    def _table(self, name: str, journeys: Sequence[Journey]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column(name, width=24, no_wrap=True)
        for hop in journeys[0].hops:
            table.add_column(hop.name, width=8)
        for journey in journeys:
            table.add_row(journey.title, *(self._cell(journey, number) for number in range(len(journey.hops))))
        return table

    def _cell(self, journey: Journey, number: int) -> RenderableType:
        if number < len(journey.times):
            return Text.assemble(("✓ ", "green"), f"{journey.times[number]:.2f} s")
        if number > len(journey.times) or not journey.begun:
            return ""
        return Text("✗", style="bold red") if journey.failure else self._spinner


@contextmanager
def watching(console: Console, groups: Mapping[str, Sequence[Journey]]) -> Iterator[None]:
    """Show the journeys while they are followed; where there is no terminal, once, at the end."""
    try:
        with Live(_Progress(groups), console=console, refresh_per_second=12):
            yield
    finally:
        if not console.is_terminal:
            console.line()


def show_result(console: Console, result: Result, *, seconds: float) -> None:
    """The listing and the users, and that they are right."""
    console.print(_listing(result.rows, wide=console.width > _NARROW))
    console.print(_people(result.people))
    console.print(
        f"[green]✓[/] the totals of all {result.users} users are those of the customer's own statistics SQL\n"
        f"[green]✓[/] the money is what was paid and given back at Stripe\n"
        f"  {seconds:.0f} s, the start included"
    )


def show_where_to_look(console: Console, stack: Stack) -> None:
    """Addresses and commands for whoever wants to see more."""
    lines = [
        "",
        "The system is running: make status, make logs, make down.",
        stack.how_to_get_in(),
        *(f"  {stack.url(service)}/docs  {service.name}" for service in SERVICES),
        "  and there /asyncapi, /health/ready and /metrics",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)


def _listing(rows: Sequence[Json], *, wide: bool) -> Table:
    padding = (0, 1) if wide else (0, 0)
    table = Table(title="\nGET /api/admin/bookings", title_justify="left", box=box.SIMPLE_HEAD, padding=padding)
    for heading in ("booking", "customer"):
        table.add_column(heading, no_wrap=True)
    table.add_column("amount", justify="right")
    for heading in ("status", "payment", "user's totals"):
        table.add_column(heading, no_wrap=True)
    for row in rows[:_ROWS]:
        table.add_row(*_cells(row), style="" if row["user"] else "dim")
    table.caption = _caption(rows)
    table.caption_justify = "left"
    return table


def _caption(rows: Sequence[Json]) -> str:
    remarks = {
        f"and {len(rows) - _ROWS} more": len(rows) > _ROWS,
        "rows without totals: set aside, see the report": not all(r["user"] for r in rows),
    }
    return "; ".join(remark for remark, applies in remarks.items() if applies)


def _cells(row: Json) -> list[str]:
    user = row["user"]
    totals = f"{user['totalBookings']} for {user['totalSpent']}" if user else "–"
    return [
        row["bookingReference"],
        row["customerName"],
        row["finalAmount"],
        row["status"],
        row["paymentStatus"],
        totals,
    ]


def _people(people: Sequence[Person]) -> Table:
    table = Table(title="Users", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for heading in ("bookings", "spent", "paid", "refunded", "customer's SQL"):
        table.add_column(heading, justify="right")
    for person in people:
        sums = (person.totals.spent, person.money.paid, person.money.refunded)
        due = f"{person.due.bookings} for {_money(person.due.spent)} [green]✓[/]"
        table.add_row(person.name, str(person.totals.bookings), *map(_money, sums), due)
    return table


def _money(amount: Decimal) -> str:
    return f"{amount:.2f}"
