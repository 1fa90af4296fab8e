"""Looking for what should be nowhere: in every column of every table, and in what the processes printed."""

from collections.abc import Sequence

import asyncpg

from support.system import System

_COLUMNS = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS table, quote_ident(a.attname) AS column,
           a.atttypid = 'bytea'::regtype AS is_bytes
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""


async def traces(whole: System, values: Sequence[str]) -> set[str]:
    """Return ``service: schema.table.column = value`` of each value found anywhere, in any case, logs included."""
    found: set[str] = set()
    for name, service in whole.services.items():
        printed = service.log.read_text(errors="replace").lower()
        found |= {f"{name}: log = {value}" for value in values if value.lower() in printed}
        connection = await asyncpg.connect(whole.database_urls[name])
        try:
            found |= {f"{name}: {place}" for place in await _in_database(connection, values)}
        finally:
            await connection.close()
    return found


async def _in_database(connection: asyncpg.Connection, values: Sequence[str]) -> set[str]:
    found = set()
    for row in await connection.fetch(_COLUMNS):
        shown = f"encode({row['column']}, 'escape')" if row["is_bytes"] else f"CAST({row['column']} AS text)"
        hits = await connection.fetch(
            f"SELECT value FROM unnest($1::text[]) AS value WHERE EXISTS ("  # noqa: S608 - a catalogue's names
            f"SELECT FROM {row['table']} WHERE strpos(lower({shown}), lower(value)) > 0)",
            list(values),
        )
        found |= {f"{row['table']}.{row['column']} = {hit['value']}" for hit in hits}
    return found
