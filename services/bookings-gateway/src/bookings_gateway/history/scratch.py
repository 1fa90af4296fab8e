"""A database for the length of a test, into which a dump of the one table is restored, with what that table needs."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import sqlalchemy.exc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.history.programs import BackupFailed, run
from bookings_gateway.install import TRIGGER, TRUNCATE_TRIGGER
from shared.database import create_engine

_LOCK = 7_301_955_103

# Held for the block by its session: who has it knows that every other scratch database of this one was left behind.
_ALONE = text("SELECT pg_try_advisory_lock(:key)")
_FREE = text("SELECT pg_advisory_unlock(:key)")
_PREFIX = text("SELECT 'history_scratch_' || oid || '_' FROM pg_database WHERE datname = current_database()")
_LEFT_BEHIND = text("SELECT datname FROM pg_database WHERE starts_with(datname, :prefix)")

# A dump of one table has neither the schemas, extensions and types its columns are of, nor the functions its defaults,
# checks and triggers call. What belongs to an extension comes with it, and what is the gateway's stays away. The values
# were valid when they were dumped, so a domain is restored as the type beneath it.
_EXTENSIONS = text(
    """
    SELECT format('CREATE SCHEMA IF NOT EXISTS %I; CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I CASCADE',
                  n.nspname, e.extname, n.nspname)
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE n.nspname NOT IN ('pg_catalog', 'gateway')
    """
)
_NEEDED = text(
    """
    WITH parts AS (
        SELECT CAST('pg_attrdef' AS regclass) AS class, oid FROM pg_attrdef WHERE adrelid = :oid
        UNION ALL SELECT CAST('pg_constraint' AS regclass), oid FROM pg_constraint WHERE conrelid = :oid
        UNION ALL SELECT CAST('pg_trigger' AS regclass), oid FROM pg_trigger WHERE tgrelid = :oid AND NOT tgisinternal
    ), types AS (
        SELECT DISTINCT t.* FROM pg_attribute a JOIN pg_type c ON c.oid = a.atttypid
        JOIN pg_type t ON t.oid IN (c.oid, c.typelem)
        WHERE a.attrelid = :oid AND a.attnum > 0 AND NOT a.attisdropped AND t.typtype IN ('e', 'd')
    ), functions AS (
        SELECT DISTINCT p.oid, p.pronamespace
        FROM parts JOIN pg_depend d ON d.classid = parts.class AND d.objid = parts.oid
        JOIN pg_proc p ON p.oid = d.refobjid AND d.refclassid = CAST('pg_proc' AS regclass)
        WHERE p.pronamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'gateway'))
    ), needed AS (
        SELECT 1 AS step, relnamespace AS schema, '' AS made, CAST(NULL AS oid) AS oid FROM pg_class WHERE oid = :oid
        UNION ALL
        SELECT 2, typnamespace, CASE typtype
            WHEN 'd' THEN format('CREATE DOMAIN %s AS %s', name, format_type(typbasetype, typtypmod))
            ELSE format('CREATE TYPE %s AS ENUM (%s)', name, (
                SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
                FROM pg_enum WHERE enumtypid = types.oid)) END, oid
        FROM types CROSS JOIN LATERAL (
            SELECT format('%I.%I', nspname, typname) AS name FROM pg_namespace s WHERE s.oid = typnamespace) n
        UNION ALL
        SELECT 3, pronamespace, pg_get_functiondef(oid), oid FROM functions
    )
    SELECT format('CREATE SCHEMA IF NOT EXISTS %I', s.nspname) AS schema, made
    FROM needed JOIN pg_namespace s ON s.oid = needed.schema
    WHERE NOT EXISTS (SELECT FROM pg_depend x WHERE x.objid = needed.oid AND x.deptype = 'e')
    ORDER BY step, made
    """
)
_BODIES_LATER = "SET check_function_bodies = off"


@asynccontextmanager
async def scratch_database(engine: AsyncEngine, url: str) -> AsyncIterator[str]:
    """Make a database on the server of ``url`` and give its URL; it goes with the block, or with the next one's start.

    One at a time: raises :class:`BackupFailed` while another process has one.
    """
    async with engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        if not (await connection.execute(_ALONE, {"key": _LOCK})).scalar_one():
            raise BackupFailed("Another backup or rehearsal is under way; wait for it.")
        prefix = (await connection.execute(_PREFIX)).scalar_one()
        for left in (await connection.execute(_LEFT_BEHIND, {"prefix": prefix})).scalars().all():
            await _drop(connection, left)
        name = f"{prefix}{uuid4().hex[:12]}"
        await connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template0'))
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        finally:
            await _drop(connection, name)
            await connection.execute(_FREE, {"key": _LOCK})


async def _drop(connection: AsyncConnection, name: str) -> None:
    await connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def restore_into(engine: AsyncEngine, table: int, scratch: str, dump: Path, *, sha256: str) -> None:
    """Restore a dump of the table with this oid: data, keys, indexes, its own triggers.

    Foreign keys stay away, whose tables are not there, and so do the gateway's triggers. Raises
    :class:`BackupFailed`, also when the dump's hash is not ``sha256``.
    """
    if await asyncio.to_thread(file_hash, dump) != sha256:
        raise BackupFailed(f"{dump.name} is not the dump its manifest is of: its SHA-256 differs.")
    await _prepare(engine, table, scratch)
    sections = await run("pg_restore", "--list", str(dump))
    unwanted = (" FK CONSTRAINT ", f" {TRIGGER} ", f" {TRUNCATE_TRIGGER} ")
    wanted = [line for line in sections.splitlines() if not any(words in line for words in unwanted)]
    listing = dump.with_suffix(".list")
    await asyncio.to_thread(listing.write_text, "\n".join(wanted))
    try:
        await run("pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", f"--use-list={listing}", str(dump),
                  url=scratch)  # fmt: skip
    finally:
        await asyncio.to_thread(listing.unlink)


async def _prepare(engine: AsyncEngine, table: int, scratch: str) -> None:
    async with engine.connect() as connection:
        extensions = (await connection.execute(_EXTENSIONS)).scalars().all()
        needed = (await connection.execute(_NEEDED, {"oid": table})).all()
    target = create_engine(scratch, name="restore test", pool_size=1)
    try:
        for extension in extensions:
            with suppress(sqlalchemy.exc.DBAPIError):  # not every one may be had, nor is every one needed
                await _execute(target, *extension.split("; "))
        made = [statement for row in needed for statement in (row.schema, row.made) if statement]
        await _execute(target, _BODIES_LATER, *made)
    except sqlalchemy.exc.DBAPIError as error:
        raise BackupFailed(
            f"What the table needs cannot be made anew in a database of its own: {error.orig}"
        ) from error
    finally:
        await target.dispose()


async def _execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
