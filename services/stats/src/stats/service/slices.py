"""The slices of the journal a rebuild goes through, and how far each pass over them has come."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from stats.projector import Position, Window
from stats.service.runs import Run

PASSES = ("facts", "payments", "activity")

_DONE = text(
    """
    SELECT CAST(coalesce((SELECT sum(done) FROM rebuild_pass WHERE rebuild_id = :id), 0) AS bigint), events * :passes
    FROM rebuild WHERE id = :id
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
    WHERE id = :id
    """
)
# The row lock keeps a killed process's last transaction, should the server still be busy with it, from overlapping. It
# is taken before the slice is looked up: a join would still see the slice that was next when it began to wait.
_LOCK_PASS = text("SELECT next_slice FROM rebuild_pass WHERE rebuild_id = :id AND name = :name FOR UPDATE")
_NEXT = text(
    """
    SELECT CAST(after_xid AS text) AS after_xid, after_seq, CAST(to_xid AS text) AS to_xid, to_seq, events
    FROM rebuild_slice WHERE rebuild_id = :id AND number = :number
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


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of one pass."""

    window: Window
    events: int


async def done_of_total(connection: AsyncConnection, run_id: int) -> tuple[int, int]:
    """Return how many events of the bulk are done and how many there are; each counts once per pass."""
    row = (await connection.execute(_DONE, {"id": run_id, "passes": len(PASSES)})).one()
    return row[0], row[1]


async def cut(connection: AsyncConnection, run: Run, size: int) -> None:
    """Cut the journal as it is now into slices."""
    await connection.execute(_CUT, {"id": run.id, "size": size})
    await connection.execute(_PASSES, {"id": run.id, "names": list(PASSES)})
    await connection.execute(_COUNT, {"id": run.id})


async def next_slice(connection: AsyncConnection, run: Run, name: str) -> Slice | None:
    """Return the pass's next slice, locked until this transaction ends, or ``None`` at its end."""
    number = (await connection.execute(_LOCK_PASS, {"id": run.id, "name": name})).scalar_one()
    row = (await connection.execute(_NEXT, {"id": run.id, "number": number})).one_or_none()
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
