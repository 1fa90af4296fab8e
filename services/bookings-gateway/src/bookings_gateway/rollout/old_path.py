"""The old server's answer, made the old server's way: all columns of the row, nothing added, none of the new code.

What is served when the new answer is switched off, and what it is compared with.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import tzinfo
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.legacy_table import LegacyTable, quoted
from bookings_gateway.rollout.old_types import encode, is_read

_PAGE = " LIMIT :limit OFFSET :offset"
# format() writes a value as the server sends it to a driver; a cast to text does not, for inet.
_ROWS = "SELECT {columns} FROM {table} b WHERE {condition} ORDER BY b.{created_at} DESC, b.{id}"
_BY_ID = "b.{id} = CAST(CAST(:id AS text) AS {id_type})"


async def old_rows(
    connection: AsyncConnection, table: LegacyTable, zone: tzinfo, *, limit: int | None = None, offset: int = 0
) -> list[str]:
    """Return bookings as JSON objects, newest first."""
    paged = limit is not None or offset > 0
    bound = {"limit": limit, "offset": offset} if paged else {}
    return await _read(connection, table, zone, "true", _PAGE if paged else "", **bound)


async def old_row(connection: AsyncConnection, table: LegacyTable, zone: tzinfo, id_: str) -> str | None:
    """Return one booking as a JSON object; ``None`` where there is none."""
    found = await _read(connection, table, zone, _BY_ID.format(**table.names), "", id=id_)
    return found[0] if found else None


async def old_pages(
    connection: AsyncConnection, table: LegacyTable, zone: tzinfo, *, rows: int
) -> AsyncGenerator[list[str]]:
    """Yield all bookings likewise, so many at a time; within one transaction."""
    types = _types(table)
    async with connection.stream(_query(table, types, "true", "")) as found:
        async for page in found.partitions(rows):
            yield await asyncio.to_thread(_objects, page, types, zone)


async def _read(
    connection: AsyncConnection, table: LegacyTable, zone: tzinfo, condition: str, paging: str, **bound: object
) -> list[str]:
    types = _types(table)
    rows = (await connection.execute(_query(table, types, condition, paging), bound)).all()
    return await asyncio.to_thread(_objects, rows, types, zone)  # of ten thousand rows, a tenth of a second


def _types(table: LegacyTable) -> Mapping[str, str]:
    return {name: type_ for name, type_ in table.columns.items() if name != table.layout.user_id}


def _query(table: LegacyTable, types: Mapping[str, str], condition: str, paging: str) -> TextClause:
    columns = ", ".join(_column(f"b.{quoted(name)}", type_) for name, type_ in types.items())
    return text(_ROWS.format(columns=columns, condition=condition, **table.names) + paging)


def _column(name: str, type_: str) -> str:
    """A value as text; one that is read by its type is cast to it, so that a column of another type by now fails."""
    typed = f"CAST({name} AS {type_})" if is_read(type_) else name
    return f"CASE WHEN {name} IS NOT NULL THEN format('%s', {typed}) END"


def _objects(rows: Sequence[Sequence[Any]], types: Mapping[str, str], zone: tzinfo) -> list[str]:
    keys = [f"{json.dumps(name)}:" for name in types]
    kinds = list(types.values())
    return [
        "{" + ",".join(key + encode(value, kind, zone) for key, value, kind in zip(keys, row, kinds, strict=True)) + "}"
        for row in rows
    ]
