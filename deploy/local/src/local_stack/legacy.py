"""The legacy application's table, for machines that have no legacy application."""

from pathlib import Path

import asyncpg

from local_stack.coroutines import run_coroutine

_CONNECT_SECONDS = 10.0


def load_legacy_table(url: str, sql_file: Path) -> bool:
    """Run `sql_file` in the database at `url` unless that has a `bookings` table; returns whether it was run.

    Raises `OSError` or `asyncpg.PostgresError` when the database cannot be used.
    """
    return run_coroutine(_load(url, sql_file.read_text()))


async def _load(url: str, sql: str) -> bool:
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        if await connection.fetchval("SELECT to_regclass('bookings') IS NOT NULL"):
            return False
        await connection.execute(sql)
    finally:
        await connection.close()
    return True
