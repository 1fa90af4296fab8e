"""The record of rebuilds: who runs one, how far it has come, what an operator wishes of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.database import async_url
from stats.errors import RebuildRunning
from stats.projector import Position, Window

REBUILD_LOCK = 7_301_955_005
PASSES = ("facts", "payments", "activity")

# Held on a connection of its own for as long as the process works: a dead process holds nothing.
_TRY = text("SELECT pg_try_advisory_lock(:key)")
_ALIVE = text(
    """
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
                   AND classid = CAST(CAST(:key AS bigint) >> 32 AS oid)
                   AND objid = CAST(CAST(:key AS bigint) & 4294967295 AS oid) AND granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    """
)
_RUNNING = text("SELECT * FROM rebuild WHERE state = 'running'")
_LAST = text("SELECT * FROM rebuild ORDER BY id DESC LIMIT 1")
_DONE = text("SELECT coalesce(sum(done), 0) FROM rebuild_pass WHERE rebuild_id = :id")
_BEGIN = text(
    """
    INSERT INTO rebuild (purpose, schema, phase, state, rate, as_of, operator)
    VALUES (:purpose, :schema, 'bulk', 'running', :rate, :as_of, :operator) RETURNING *
    """
)
# One pass over an index; the fence is the oldest transaction that may still write, so nothing before the last slice's
# end can appear later.
_CUT = text(
    """
    INSERT INTO rebuild_slice (rebuild_id, number, after_xid, after_seq, to_xid, to_seq, events)
    SELECT :id, (n - 1) / :size,
           lag(xid, 1, CAST('0' AS xid8)) OVER w, lag(seq, 1, CAST(0 AS bigint)) OVER w, xid, seq, 1 + (n - 1) % :size
    FROM (
        SELECT xid, seq, row_number() OVER (ORDER BY xid, seq) AS n, lead(seq) OVER (ORDER BY xid, seq) IS NULL AS last
        FROM public.journal WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
    ) AS row
    WHERE n % :size = 0 OR last
    WINDOW w AS (ORDER BY n)
    """
)
_PASSES = text("INSERT INTO rebuild_pass (rebuild_id, name) SELECT :id, unnest(CAST(:names AS text[]))")
_COUNT = text(
    """
    UPDATE rebuild SET events = (SELECT coalesce(sum(events), 0) FROM rebuild_slice WHERE rebuild_id = :id)
    WHERE id = :id RETURNING events
    """
)
# The row lock keeps a killed process's last statement, should the server still be busy with it, from overlapping.
_NEXT = text(
    """
    SELECT p.next_slice, CAST(s.after_xid AS text) AS after_xid, s.after_seq, CAST(s.to_xid AS text) AS to_xid,
           s.to_seq, s.events
    FROM rebuild_pass p JOIN rebuild_slice s ON s.rebuild_id = p.rebuild_id AND s.number = p.next_slice
    WHERE p.rebuild_id = :id AND p.name = :name FOR UPDATE OF p
    """
)
_STEP = text(
    """
    UPDATE rebuild_pass SET next_slice = next_slice + 1, done = done + :events WHERE rebuild_id = :id AND name = :name
    """
)
_END = text(
    "SELECT CAST(to_xid AS text), to_seq FROM rebuild_slice WHERE rebuild_id = :id ORDER BY number DESC LIMIT 1"
)
_PHASE = text("UPDATE rebuild SET phase = :phase WHERE id = :id")
_FINISH = text(
    """
    UPDATE rebuild SET state = :state, phase = :state, finished_at = now(), differences = :differences,
                       switch_ms = :switch_ms
    WHERE id = :id
    """
)
_WISHES = text("SELECT wish, rate FROM rebuild WHERE id = :id")
_WISH = text("UPDATE rebuild SET wish = :wish WHERE state = 'running' RETURNING id")
_THROTTLE = text("UPDATE rebuild SET rate = :rate WHERE state = 'running' RETURNING id")


@dataclass(frozen=True, slots=True)
class Run:
    """One rebuild."""

    id: int
    purpose: str
    schema: str
    phase: str
    events: int
    rate: int | None
    as_of: datetime | None
    operator: str
    started_at: datetime

    @classmethod
    def of(cls, row: RowMapping) -> "Run":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of one pass."""

    window: Window
    events: int


def bulk_engine(url: str) -> AsyncEngine:
    """Return an engine for long statements, whose server side notices within a second when this process is gone."""
    settings = {
        "application_name": "stats rebuild",
        "client_connection_check_interval": "1s",
        "idle_in_transaction_session_timeout": "60000",
        "jit": "off",
    }
    return create_async_engine(
        async_url(url), pool_size=4, max_overflow=0, connect_args={"server_settings": settings, "timeout": 5}
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
    row = (await connection.execute(_RUNNING)).mappings().one_or_none()
    if row is None:
        return "another operator has just begun; see `stats status`"
    share = await share_done(connection, row)
    return (
        f"rebuild {row['id']} ({row['purpose']}) is run by {row['operator']} since "
        f"{row['started_at']:%Y-%m-%d %H:%M:%S %Z}, phase {row['phase']}, {share:.0%} done; see `stats status`"
    )


async def share_done(connection: AsyncConnection, row: RowMapping) -> float:
    """Return how much of the bulk is done, 0 to 1."""
    done = int((await connection.execute(_DONE, {"id": row["id"]})).scalar_one())
    return done / (row["events"] * len(PASSES)) if row["events"] else 0.0


async def is_alive(connection: AsyncConnection) -> bool:
    """Say whether some process holds the rebuild lock now."""
    return bool((await connection.execute(_ALIVE, {"key": REBUILD_LOCK})).scalar_one())


async def last(connection: AsyncConnection) -> RowMapping | None:
    """Return the newest rebuild's row."""
    return (await connection.execute(_LAST)).mappings().one_or_none()


async def unfinished(connection: AsyncConnection) -> Run | None:
    """Return the rebuild that was begun and not brought to an end."""
    row = (await connection.execute(_RUNNING)).mappings().one_or_none()
    return Run.of(row) if row else None


async def begin(
    connection: AsyncConnection, *, purpose: str, schema: str, operator: str, rate: int | None, as_of: datetime | None
) -> Run:
    """Record a new rebuild; the caller commits."""
    values = {"purpose": purpose, "schema": schema, "operator": operator, "rate": rate, "as_of": as_of}
    return Run.of((await connection.execute(_BEGIN, values)).mappings().one())


async def cut(connection: AsyncConnection, run: Run, size: int) -> int:
    """Cut the journal as it is now into slices and return how many events they hold."""
    await connection.execute(_CUT, {"id": run.id, "size": size})
    await connection.execute(_PASSES, {"id": run.id, "names": list(PASSES)})
    return int((await connection.execute(_COUNT, {"id": run.id})).scalar_one())


async def next_slice(connection: AsyncConnection, run: Run, name: str) -> Slice | None:
    """Return the pass's next slice, locked until this transaction ends, or ``None`` at its end."""
    row = (await connection.execute(_NEXT, {"id": run.id, "name": name})).one_or_none()
    if row is None:
        return None
    window = Window(Position(row.after_xid, row.after_seq), Position(row.to_xid, row.to_seq))
    return Slice(window, row.events)


async def step(connection: AsyncConnection, run: Run, name: str, events: int) -> None:
    """Note the slice as applied; in the same transaction."""
    await connection.execute(_STEP, {"id": run.id, "name": name, "events": events})


async def end_of_slices(connection: AsyncConnection, run: Run) -> Position:
    """Return where catching up begins."""
    row = (await connection.execute(_END, {"id": run.id})).one_or_none()
    return Position(row[0], row[1]) if row else Position()


async def enter_phase(connection: AsyncConnection, run: Run, phase: str) -> None:
    """Note the phase, in the transaction that makes it so."""
    await connection.execute(_PHASE, {"id": run.id, "phase": phase})


async def finish(
    connection: AsyncConnection, run: Run, state: str, *, differences: int | None = None, switch_ms: float | None = None
) -> None:
    """Note the end."""
    values = {"id": run.id, "state": state, "differences": differences, "switch_ms": switch_ms}
    await connection.execute(_FINISH, values)


async def wishes(connection: AsyncConnection, run: Run) -> tuple[str, int | None]:
    """Return what the operator wants: run, pause or cancel; and the rate, in events per second."""
    row = (await connection.execute(_WISHES, {"id": run.id})).one()
    return row[0], row[1]


async def wish(connection: AsyncConnection, what: str) -> bool:
    """Ask the running rebuild to run, pause or cancel; ``False`` if there is none."""
    return (await connection.execute(_WISH, {"wish": what})).one_or_none() is not None


async def throttle(connection: AsyncConnection, rate: int | None) -> bool:
    """Set the running rebuild's rate; ``False`` if there is none."""
    return (await connection.execute(_THROTTLE, {"rate": rate})).one_or_none() is not None
