"""One statement, one connection."""

import asyncpg


async def fetch_value(url: str, statement: str) -> object:
    """Run `statement` at `url` and return its first value."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
