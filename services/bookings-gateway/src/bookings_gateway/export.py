"""Bookings as CSV, a page of lines at a time: a row is never in memory longer than its page takes to send."""

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.listing import Filter, Queries

LINES = 500
# What a spreadsheet takes as the start of a formula. https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


async def csv_lines(connection: AsyncConnection, queries: Queries, wanted: Filter) -> AsyncIterator[bytes]:
    """Yield the header, then all bookings that match, newest first, in UTF-8. The caller keeps the connection open."""
    yield lines_of([queries.export_columns])
    async with connection.stream(queries.export(wanted), wanted.parameters) as result:
        async for rows in result.partitions(LINES):
            yield lines_of([guarded(row) for row in rows])


def guarded(row: Sequence[object]) -> list[object]:
    """Return the cells with an apostrophe before what would be a formula; a number below zero is none."""
    return [f"'{cell}" if isinstance(cell, str) and _is_formula(cell) else cell for cell in row]


def _is_formula(cell: str) -> bool:
    return cell.startswith(_FORMULA) and not _AMOUNT.fullmatch(cell)


def lines_of(rows: Iterable[Iterable[object]]) -> bytes:
    """Return lines of CSV in UTF-8."""
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue().encode()
