"""What the gateway puts on the legacy table: a column for the user's id with its index, and triggers. Safe to repeat.

Column and triggers need a short exclusive lock. It is asked for with a time limit and given up again, so that the
application never queues behind us while we queue behind one of its long transactions.
"""

import asyncio
from collections.abc import Collection
from itertools import count

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.domain import Layout
from bookings_gateway.errors import LegacyTableBusy
from bookings_gateway.legacy_index import build_index
from bookings_gateway.legacy_table import LegacyTable, find

log = structlog.get_logger(__name__)

TRIGGER = "gateway_capture_booking_change"
_LOCK_MILLISECONDS = 500
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.5
_LOCK_NOT_AVAILABLE = "55P03"

# Runs in the transaction of whoever writes, so it must neither fail nor wait: no cast that can fail, no table read,
# one insert that conflicts with nobody. A missing column of ours (somebody dropped it) counts as a change instead of
# failing the write. NOT an equality of the json values: that type has none, and jsonb refuses what json may hold.
# clock_timestamp() and the number are taken while the row's lock is held: within one booking both rise with commits.
_FUNCTION = """
CREATE OR REPLACE FUNCTION gateway.capture_booking_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {body}
DECLARE
    was record;
    becomes record;
    trace text := nullif(current_setting('gateway.traceparent', true), '');
BEGIN
    IF TG_OP = 'UPDATE' THEN
        BEGIN
            was := OLD;
            becomes := NEW;
            was.{user_id} := NULL;
            becomes.{user_id} := NULL;
            {ignore_bump}
            IF row_to_json(was)\\:\\:text = row_to_json(becomes)\\:\\:text THEN
                RETURN NULL;
            END IF;
        EXCEPTION WHEN undefined_column THEN
            NULL;
        END;
    END IF;
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND OLD.{id} <> NEW.{id}) THEN
        INSERT INTO gateway.booking_change (op, booking_id, row, changed_at, traceparent)
        VALUES ('D', OLD.{id}\\:\\:text, row_to_json(OLD), clock_timestamp(), trace);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO gateway.booking_change (op, booking_id, row, changed_at, traceparent)
        VALUES (CASE WHEN TG_OP = 'INSERT' OR OLD.{id} <> NEW.{id} THEN 'I' ELSE 'U' END,
                NEW.{id}\\:\\:text, row_to_json(NEW), clock_timestamp(), trace);
    END IF;
    RETURN NULL;
END {body}
"""
# Where a trigger of the table's own sets it on every update, our copy of the user's id is still no change.
_IGNORE_BUMP = """
            IF OLD.{user_id} IS DISTINCT FROM NEW.{user_id} THEN
                was.{updated_at} := NULL;
                becomes.{updated_at} := NULL;
            END IF;
"""
# TRUNCATE fires no row trigger. Whoever may truncate may read, and holds the table alone: every row is copied as gone.
_TRUNCATE_FUNCTION = """
CREATE OR REPLACE FUNCTION gateway.capture_booking_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {body}
BEGIN
    INSERT INTO gateway.booking_change (op, booking_id, row, changed_at, traceparent)
    SELECT 'D', b.{id}\\:\\:text, row_to_json(b), clock_timestamp(),
           nullif(current_setting('gateway.traceparent', true), '')
    FROM {table} b ORDER BY b.{id};
    RETURN NULL;
END {body}
"""
_COLUMN = "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {user_id} uuid"
_TRIGGER = f"""
CREATE TRIGGER {TRIGGER} AFTER INSERT OR UPDATE OR DELETE ON {{table}}
FOR EACH ROW EXECUTE FUNCTION gateway.capture_booking_change()
"""
_ENABLE = f"ALTER TABLE {{table}} ENABLE TRIGGER {TRIGGER}"
TRUNCATE_TRIGGER = "gateway_capture_booking_truncate"
_TRUNCATE = f"""
CREATE TRIGGER {TRUNCATE_TRIGGER} BEFORE TRUNCATE ON {{table}}
FOR EACH STATEMENT EXECUTE FUNCTION gateway.capture_booking_truncate()
"""
_ENABLE_TRUNCATE = f"ALTER TABLE {{table}} ENABLE TRIGGER {TRUNCATE_TRIGGER}"
_STATE = text("SELECT CAST(tgenabled AS text) FROM pg_trigger WHERE tgrelid = :oid AND tgname = :name")


async def install(engine: AsyncEngine, name: str, layout: Layout) -> list[str]:
    """Bring column, triggers and index onto the legacy table and return what was done; commits by itself.

    Takes no lock at all when all are there. Raises :class:`LegacyTableMissing`, :class:`LegacyTableUnfit` or, after
    some seconds of trying, :class:`LegacyTableBusy`.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with engine.begin() as connection:
                table = await find(connection, name, layout)
                done = await _install(connection, table)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            log.info("legacy_table_busy", attempt=attempt)
        else:
            return [*done, *await build_index(engine, table)]
        await asyncio.sleep(_PAUSE_SECONDS)
    raise LegacyTableBusy(
        f"The table {name!r} was never free for {_LOCK_MILLISECONDS} ms in {_ATTEMPTS} attempts: a long transaction "
        "holds it. Nothing was changed; find it in pg_stat_activity, or repeat the command at a quieter time."
    )


async def _install(connection: AsyncConnection, table: LegacyTable) -> list[str]:
    await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_MILLISECONDS}ms'"))
    ignore_bump = _IGNORE_BUMP.format(**table.names) if table.layout.updated_at else ""
    names = {**table.names, "body": _dollars(table.names.values())}
    await connection.execute(text(_FUNCTION.format(ignore_bump=ignore_bump, **names)))
    await connection.execute(text(_TRUNCATE_FUNCTION.format(**names)))
    state = (await connection.execute(_STATE, {"oid": table.oid, "name": TRIGGER})).scalar_one_or_none()
    truncate = (await connection.execute(_STATE, {"oid": table.oid, "name": TRUNCATE_TRIGGER})).scalar_one_or_none()
    needed = {
        f"column {table.layout.user_id}": _COLUMN if table.layout.user_id not in table.columns else None,
        "row trigger": _TRIGGER if state is None else _ENABLE if state == "D" else None,
        "truncate trigger": _TRUNCATE if truncate is None else _ENABLE_TRUNCATE if truncate == "D" else None,
    }
    for statement in filter(None, needed.values()):
        await connection.execute(text(statement.format(**table.names)))
    return [what for what, statement in needed.items() if statement]


def _dollars(names: Collection[str]) -> str:
    """Return dollar quotes that none of these names would end."""
    return next(tag for tag in (f"$body{number}$" for number in count()) if not any(tag in name for name in names))
