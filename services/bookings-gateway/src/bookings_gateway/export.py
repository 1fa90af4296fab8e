"""Bookings as CSV, a page of lines at a time: a row is never in memory longer than its page takes to send."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.listing import Filter, Queries

LINES = 500
# What a spreadsheet takes as the start of a formula. https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


async def csv_lines(connection: AsyncConnection, queries: Queries, wanted: Filter) -> AsyncIterator[bytes]:
    """Yield the header, then all bookings that match, newest first, in UTF-8. The caller keeps the connection open."""
    amounts = {name for name, is_amount in queries.export_columns.items() if is_amount}
    header = list(queries.export_columns)
    yield lines_of([header])
    async with connection.stream(queries.export(wanted), wanted.parameters) as result:
        async for rows in result.partitions(LINES):
            yield lines_of([guarded(row, header, amounts) for row in rows])


def guarded(row: Sequence[str | None], names: Sequence[str], amounts: set[str]) -> list[str]:
    """Return the cells with an apostrophe before what would be a formula; an amount below zero is none."""
    return [
        f"'{value}" if value and name not in amounts and value.startswith(FORMULA) else value or ""
        for name, value in zip(names, row, strict=True)
    ]


def lines_of(rows: Iterable[Sequence[object]]) -> bytes:
    """Return lines of CSV in UTF-8."""
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue().encode()
