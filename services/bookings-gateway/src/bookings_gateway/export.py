"""Bookings as CSV, a page of lines at a time: a row is never in memory longer than its page takes to send."""

import csv
import io
from collections.abc import AsyncIterator, Collection, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.listing import Filter, Queries

LINES = 500
# What a spreadsheet takes as the start of a formula. https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


async def csv_lines(
    connection: AsyncConnection, queries: Queries, wanted: Filter, *, enriched: bool
) -> AsyncIterator[bytes]:
    """Yield the header, then all bookings that match, newest first, in UTF-8. The caller keeps the connection open."""
    header = queries.export_columns(enriched=enriched)
    yield lines_of([header])
    async with connection.stream(queries.export(wanted, enriched=enriched), wanted.parameters) as result:
        async for rows in result.partitions(LINES):
            yield lines_of([guarded(row, header, queries.export_amounts) for row in rows])


def guarded(row: Sequence[object], names: Sequence[str], amounts: Collection[str]) -> list[object]:
    """Return the cells with an apostrophe before what would be a formula; an amount below zero is none."""
    return [
        f"'{cell}" if isinstance(cell, str) and name not in amounts and cell.startswith(_FORMULA) else cell
        for name, cell in zip(names, row, strict=True)
    ]


def lines_of(rows: Iterable[Iterable[object]]) -> bytes:
    """Return lines of CSV in UTF-8."""
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue().encode()
