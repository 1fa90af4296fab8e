"""The index on the legacy table's column of users: before there is anything in it, and without anybody waiting.

The customer's document adds it in the last week and blocks every writer for as long as it takes.
"""

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.legacy_table import LegacyTable, quoted
from shared.database import sqlstate

log = structlog.get_logger(__name__)

_NAME = "gateway_bookings_by_user"
_LOCK_NOT_AVAILABLE = "55P03"

# An index of ours, or any other that begins with the column. One whose building broke off is there and never used.
_FOUND = text(
    """
    SELECT CAST(c.relname AS text) AS name, i.indisvalid AS valid
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = :oid AND a.attname = :column AND i.indpred IS NULL
    """
)
_SCHEMA = text(
    "SELECT quote_ident(nspname) FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid WHERE c.oid = :oid"
)
# CONCURRENTLY waits for transactions that are under way, and nobody waits for it. Not for ever: an abandoned session
# must not keep `migrate` from ending.
_PATIENCE = text("SELECT set_config('lock_timeout', '10s', false)")
_BUILD = "CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} ({column})"
_DROP = "DROP INDEX CONCURRENTLY IF EXISTS {schema}.{name}"


async def build_index(engine: AsyncEngine, table: LegacyTable) -> list[str]:
    """Build the index unless there is one, and return what was done. One that cannot be built now is left for later."""
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        found = (await connection.execute(_FOUND, {"oid": table.oid, "column": table.layout.user_id})).all()
        if any(index.valid for index in found):
            return []
        await connection.execute(_PATIENCE)
        try:
            await _build(connection, table)
        except DBAPIError as error:
            if sqlstate(error) != _LOCK_NOT_AVAILABLE:
                raise
            await _drop(connection, table)
            log.warning(
                "legacy_index_not_built", reason="a transaction on the table does not end; migrate builds it again"
            )
            return []
        finally:
            await connection.execute(text("RESET lock_timeout"))
    return [f"index on {table.layout.user_id}"]


async def _build(connection: AsyncConnection, table: LegacyTable) -> None:
    await _drop(connection, table)
    names = {"name": _NAME, "table": table.names["table"], "column": quoted(table.layout.user_id)}
    await connection.execute(text(_BUILD.format(**names)))


async def _drop(connection: AsyncConnection, table: LegacyTable) -> None:
    """Remove what a building that broke off left behind; there is no valid one."""
    schema = (await connection.execute(_SCHEMA, {"oid": table.oid})).scalar_one()
    await connection.execute(text(_DROP.format(schema=schema.replace(":", "\\:"), name=_NAME)))
