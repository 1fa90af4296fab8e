"""A legacy table on a server, filled with bookings as the legacy application wrote them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg

from support.legacy_generations import LegacyLayout
from support.legacy_history import Fact

_FILL = """
    INSERT INTO bookings ({columns})
    SELECT {columns} FROM json_populate_recordset(CAST(NULL AS bookings), CAST($1 AS json))
"""
_NULL_CONTACTS = """
    UPDATE bookings SET {column} = 'null' WHERE CAST(id AS text) = ANY($1)
"""


async def create_table(url: str, layout: LegacyLayout) -> None:
    """Create the table, empty, as the legacy application left it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(layout.table)
    finally:
        await connection.close()


async def fill(url: str, layout: LegacyLayout, bookings: Sequence[Fact]) -> None:
    """Write bookings into the table, as the legacy application did before anybody watched."""
    connection = await asyncpg.connect(url)
    try:
        await insert(connection, layout, bookings)
    finally:
        await connection.close()


async def insert(connection: "asyncpg.Connection[Any]", layout: LegacyLayout, bookings: Sequence[Fact]) -> None:
    """Write bookings on an open connection."""
    for page in _pages(bookings, 5_000):
        rows = [layout.row(fact) for fact in page]
        columns = ", ".join(f'"{name}"' for name in rows[0])
        await connection.execute(_FILL.format(columns=columns), json.dumps(rows))
    nulls = [str(fact.id) for fact in bookings if fact.contact == "json null"]
    if column := {"default": '"contactDetails"', "lower_case": "contactdetails"}.get(layout.name):
        await connection.execute(_NULL_CONTACTS.format(column=column), nulls)
    await connection.execute("ANALYZE bookings")


def _pages(bookings: Sequence[Fact], size: int) -> Iterator[Sequence[Fact]]:
    for start in range(0, len(bookings), size):
        yield bookings[start : start + size]
