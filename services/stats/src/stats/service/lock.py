"""The lock that makes one process at a time rebuild, roll back, or take things away; and its connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.database import async_url
from stats.errors import RebuildRunning
from stats.service import runs, slices

REBUILD_LOCK = 7_301_955_005

# Held on a connection of its own for as long as the process works: a dead process holds nothing.
_TRY = text("SELECT pg_try_advisory_lock(:key)")
_HELD = text(
    """
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
                   AND classid = CAST(CAST(:key AS bigint) >> 32 AS oid)
                   AND objid = CAST(CAST(:key AS bigint) & 4294967295 AS oid) AND granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    """
)


def bulk_engine(url: str) -> AsyncEngine:
    """Return an engine for long statements, whose server side notices within a second when this process is gone."""
    settings = {
        "application_name": "stats rebuild",
        "client_connection_check_interval": "1s",
        "idle_in_transaction_session_timeout": "60000",
        "jit": "off",
    }
    return create_async_engine(
        async_url(url), pool_size=6, max_overflow=0, connect_args={"server_settings": settings, "timeout": 5}
    )


@asynccontextmanager
async def holding_lock(engine: AsyncEngine) -> AsyncIterator[None]:
    """Be the only one that rebuilds; raises :class:`RebuildRunning` with who is at it."""
    async with engine.connect() as connection:
        held = await connection.execution_options(isolation_level="AUTOCOMMIT")
        if not (await held.execute(_TRY, {"key": REBUILD_LOCK})).scalar_one():
            raise RebuildRunning(await describe_running(held))
        try:
            yield
        finally:
            await held.invalidate()  # the lock goes with the connection


async def describe_running(connection: AsyncConnection) -> str:
    """Say who is rebuilding, since when and how far."""
    row = await runs.last(connection)
    if row is None or row["state"] != "running":
        return "another operator is rebuilding one user, rolling back or clearing away; see `stats status`"
    done, total = await slices.done_of_total(connection, row["id"])
    share = done / total if total else 0
    return (
        f"rebuild {row['id']} ({row['purpose']}) is run by {row['operator']} since "
        f"{row['started_at']:%Y-%m-%d %H:%M:%S %Z}, phase {row['phase']}, {share:.0%} done; see `stats status`"
    )


async def is_held(connection: AsyncConnection) -> bool:
    """Say whether some process holds the rebuild lock now."""
    return bool((await connection.execute(_HELD, {"key": REBUILD_LOCK})).scalar_one())
