"""Generations of the projection: each a schema with the same tables; one is live."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from stats.errors import NoGeneration, RebuildRunning
from stats.projector import Position, sql

_NEXT = text("SELECT 'generation_' || nextval('generation_number')")
_ADD = text("INSERT INTO generation (schema, live) VALUES (:schema, false)")
_LIVE = text("SELECT schema FROM generation WHERE live")
_RETIRED = text(
    "SELECT schema FROM generation WHERE retired_at IS NOT NULL AND NOT live ORDER BY retired_at DESC LIMIT 1"
)
# Locked until the slice is applied and noted: a second process, should there ever be one, applies the slice after it.
_CURSOR = text(
    "SELECT CAST(cursor_xid AS text), cursor_seq FROM generation WHERE schema = :schema AND NOT live FOR UPDATE"
)
_MOVE = text(
    """
    UPDATE generation SET cursor_xid = CAST(CAST(:xid AS text) AS xid8), cursor_seq = :seq WHERE schema = :schema
    """
)
# The position is this statement's own snapshot, taken while applies are locked out: what it shows is exactly what the
# generation has applied, and what it does not show can be found again by it.
_RETIRE = text("UPDATE generation SET live = false, retired_at = now(), position = pg_current_snapshot() WHERE live")
_ENTHRONE = text("UPDATE generation SET live = true, live_since = now(), retired_at = NULL WHERE schema = :schema")
_FORGET = text("DELETE FROM generation WHERE schema = :schema AND NOT live RETURNING schema")
_OTHERS = text("SELECT schema FROM generation WHERE NOT live")
_STRIKE = text("DELETE FROM to_announce WHERE schema = :schema")
_CARRY_OVER = text(
    """
    INSERT INTO to_announce (schema, user_id)
    SELECT :schema, user_id FROM to_announce WHERE schema = (SELECT schema FROM generation WHERE live)
    ON CONFLICT DO NOTHING
    """
)
# Readers that found a generation live may still be in it for a moment.
_DROPPABLE = text(
    """
    SELECT schema FROM generation g
    WHERE NOT live AND coalesce(retired_at < now() - interval '1 minute', true)
      AND NOT EXISTS (SELECT FROM rebuild r WHERE r.state = 'running' AND r.schema = g.schema)
    ORDER BY created_at
    """
)


@dataclass(frozen=True, slots=True)
class Index:
    """A statement that makes one index, and the table it is on."""

    table: str
    statement: str


def script(name: str) -> list[str]:
    """Return the statements of one of the projection's files."""
    return [statement for statement in sql(name).split(";\n") if statement.strip()]


def indexes() -> Sequence[Index]:
    """Return what makes a generation's indexes."""
    return [Index(statement.split(" ON ")[1].split()[0], statement) for statement in script("indexes")]


async def next_name(connection: AsyncConnection) -> str:
    """Return a schema's name nobody has."""
    name: str = (await connection.execute(_NEXT)).scalar_one()
    return name


async def create(connection: AsyncConnection) -> str:
    """Make an empty generation without indexes and return its schema; the caller commits."""
    schema = await next_name(connection)
    await create_tables(connection, schema)
    await connection.execute(_ADD, {"schema": schema})
    return schema


async def create_tables(connection: AsyncConnection, schema: str) -> None:
    """Make a schema with the projection's tables."""
    await connection.execute(text(f"CREATE SCHEMA {schema}"))
    await connection.execute(text(f"SET LOCAL search_path TO {schema}, public"))
    for statement in script("schema"):
        await connection.execute(text(statement))
    await connection.execute(text("SET LOCAL search_path TO public"))


async def drop(connection: AsyncConnection, schema: str) -> None:
    """Remove a generation; the live one, or one that is gone already, is left alone."""
    if (await connection.execute(_FORGET, {"schema": schema})).one_or_none():
        await connection.execute(_STRIKE, {"schema": schema})
        await connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


async def drop_all_but_live(connection: AsyncConnection) -> None:
    """Remove every other generation, whether somebody needs it or not."""
    for schema in await others(connection):
        await drop(connection, schema)


async def droppable(connection: AsyncConnection) -> Sequence[str]:
    """Return the generations nobody reads or builds."""
    return (await connection.execute(_DROPPABLE)).scalars().all()


async def drop_superseded(connection: AsyncConnection) -> None:
    """Remove what nobody reads, builds or can go back to: all but the live generation and the one before."""
    kept = (await connection.execute(_RETIRED)).scalar_one_or_none()
    for schema in await droppable(connection):
        if schema != kept:
            await drop(connection, schema)


async def others(connection: AsyncConnection) -> Sequence[str]:
    """Return the generations that are not live."""
    return (await connection.execute(_OTHERS)).scalars().all()


async def live(connection: AsyncConnection) -> str:
    """Return the live generation's schema."""
    schema: str = (await connection.execute(_LIVE)).scalar_one()
    return schema


async def last_retired(connection: AsyncConnection) -> str:
    """Return the generation that was live before; raises :class:`NoGeneration`."""
    schema: str | None = (await connection.execute(_RETIRED)).scalar_one_or_none()
    if schema is None:
        raise NoGeneration("there is no earlier generation to go back to")
    return schema


async def cursor(connection: AsyncConnection, schema: str) -> Position:
    """Return how far in the journal a generation that is not live has come, locked until this transaction ends.

    Raises :class:`RebuildRunning` if somebody else has made it live or removed it.
    """
    row = (await connection.execute(_CURSOR, {"schema": schema})).one_or_none()
    if row is None:
        raise RebuildRunning(f"{schema} went live, or away, by another process's hand; see `stats status`")
    return Position(row[0], row[1])


async def move_cursor(connection: AsyncConnection, schema: str, position: Position) -> None:
    """Note how far it has come; in the transaction that applied it."""
    await connection.execute(_MOVE, {"schema": schema, "xid": position.xid, "seq": position.seq})


async def make_live(connection: AsyncConnection, schema: str) -> None:
    """Retire the live generation and make this one live; the caller holds the apply lock and commits.

    Whoever was still to be looked at is looked at in this one.
    """
    await connection.execute(_CARRY_OVER, {"schema": schema})
    await connection.execute(_RETIRE)
    await connection.execute(_ENTHRONE, {"schema": schema})
