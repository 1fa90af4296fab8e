"""What ``bookings-gateway history`` prints: counts, status, invariants."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from bookings_gateway.history.counts import Counts, Money
from bookings_gateway.history.move import Prediction
from bookings_gateway.history.progress import Status
from bookings_gateway.history.verify import Verification
from shared.cli import console, print_rows


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


def show_status(console: Console, status: Status) -> None:
    """Print where the move stands."""
    told = status.as_json()
    seen = f", seen {told['heartbeatSeconds']:.0f} s ago" if told["heartbeatSeconds"] is not None else ""
    console.print(f"[bold]{status.state}[/]{seen}{f': {status.remark}' if status.remark else ''} {status.pace}")
    rows = [
        ("bookings", *_cells(told["bookings"]), f"total {status.counted.total:,}"),
        ("links", *_cells(told["links"])),
        ("payments", *_cells(told["payments"])),
        ("queued", *_cells(told["queued"])),
    ]
    table = Table(show_header=False)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if status.counted.stages["in_review"]:
        console.print(f"{status.counted.stages['in_review']:,} bookings are for review: `history errors list --review`")


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
