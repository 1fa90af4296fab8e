"""The legacy table as the gateway meets it: its database, and rows written as the legacy application writes them."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import bookings_gateway
from bookings_gateway.domain import DEFAULT_LAYOUT
from bookings_gateway.install import install
from bookings_gateway.main import SEARCH_PATH
from shared.database import create_engine, migrate

LEGACY_TABLE = Path(__file__).parents[2] / "deploy" / "local" / "legacy_bookings.sql"
MIGRATIONS = Path(bookings_gateway.__file__).parent / "migrations"

_INSERT = """
    INSERT INTO bookings ({columns})
    SELECT {columns} FROM json_populate_record(CAST(NULL AS bookings), CAST(:row AS json))
"""


def create_gateway_database(url: str) -> None:
    """Fill an empty database: the legacy table first, then what the gateway adds to it."""
    asyncio.run(create_legacy_table(url))
    migrate(url, MIGRATIONS, search_path=SEARCH_PATH)
    asyncio.run(_install(url))


async def create_legacy_table(url: str) -> None:
    """Create the table in its default layout."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(LEGACY_TABLE.read_text())
    finally:
        await connection.close()


async def _install(url: str) -> None:
    engine = create_engine(url, name="template", search_path=SEARCH_PATH)
    await install(engine, "bookings", DEFAULT_LAYOUT)
    await engine.dispose()


async def insert_booking(connection: AsyncConnection, **columns: Any) -> str:
    """Insert a row by plain SQL, as another program would, and return its id; the caller commits."""
    row = {"id": str(uuid4()), "bookingReference": uuid4().hex[:11], **columns}
    names = ", ".join(f'"{name}"' for name in row)
    await connection.execute(text(_INSERT.format(columns=names)), {"row": json.dumps(row)})
    return str(row["id"])


async def book(engine: AsyncEngine, **columns: Any) -> str:
    """Commit one row and return its id."""
    async with engine.begin() as connection:
        return await insert_booking(connection, **columns)


async def execute(engine: AsyncEngine, sql: str, **parameters: Any) -> None:
    """Commit one statement."""
    async with engine.begin() as connection:
        await connection.execute(text(sql), parameters)


async def fetch(engine: AsyncEngine, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(sql), parameters)]
