"""What an operator wants to know first: which generation, how far, what was set aside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from stats.service import lock, runs, slices

_GENERATIONS = text("SELECT schema, live, created_at, live_since, retired_at FROM generation ORDER BY created_at")
_JOURNAL = text(
    """
    SELECT newest.seq AS last_seq, newest.received_at AS last_received,
           (SELECT sum(greatest(c.reltuples, 0)) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'journal'::regclass) AS about_rows,
           (SELECT extract(epoch FROM now() - min(xact_start)) FROM pg_stat_activity
            WHERE backend_xid IS NOT NULL) AS fence_age,
           (SELECT count(*) FROM to_announce t JOIN generation g USING (schema) WHERE g.live) AS to_announce,
           (SELECT count(*) FROM outbox) AS outbox
    FROM (SELECT) AS nothing
    LEFT JOIN LATERAL (SELECT seq, received_at FROM journal ORDER BY xid DESC, seq DESC LIMIT 1) AS newest ON true
    """
)
# The moment an id was made stands in its first 48 bits, when it is a uuid7.
_LAGS = text(
    """
    SELECT event_id, received_at FROM journal ORDER BY xid DESC, seq DESC LIMIT 1000
    """
)
_FAULTS = text(
    """
    SELECT fault AS reason, count(*) AS rows, min(seq) AS first_seq, max(seq) AS last_seq
    FROM journal WHERE fault IS NOT NULL GROUP BY fault ORDER BY fault
    """
)
_DEAD = text(
    """
    SELECT split_part(reason, ':', 1) AS reason, count(*) AS rows, min(id) AS first_id, max(id) AS last_id
    FROM dead_letter WHERE state = 'open' GROUP BY 1 ORDER BY 1
    """
)
_NEGATIVE = text("SELECT count(*) FROM journal WHERE amount < 0 AND type LIKE 'booking.%' AND fault IS NULL")
_DRIFT = text(
    """
    SELECT purpose, differences, finished_at FROM rebuild
    WHERE state = 'done' AND purpose IN ('verify', 'dry-run', 'switch') ORDER BY id DESC LIMIT 1
    """
)


@dataclass(frozen=True, slots=True)
class Lag:
    """From the making of an event to its place in the journal, over the newest events."""

    middle: timedelta
    worst: timedelta


@dataclass(frozen=True, slots=True)
class Status:
    """All of it, as one transaction saw it."""

    generations: Sequence[RowMapping]
    journal: RowMapping
    lag: Lag | None
    rebuild: RowMapping | None
    rebuild_share: float
    rebuild_alive: bool
    faults: Sequence[RowMapping]
    dead_letters: Sequence[RowMapping]
    negative_bookings: int
    drift: RowMapping | None


async def status(engine: AsyncEngine) -> Status:
    """Look everything up."""
    async with engine.connect() as connection:
        rebuild = await runs.last(connection)
        return Status(
            generations=(await connection.execute(_GENERATIONS)).mappings().all(),
            journal=(await connection.execute(_JOURNAL)).mappings().one(),
            lag=await _lag(connection),
            rebuild=rebuild,
            rebuild_share=await _share(connection, rebuild["id"]) if rebuild else 0.0,
            rebuild_alive=await lock.is_held(connection),
            faults=(await connection.execute(_FAULTS)).mappings().all(),
            dead_letters=(await connection.execute(_DEAD)).mappings().all(),
            negative_bookings=(await connection.execute(_NEGATIVE)).scalar_one(),
            drift=(await connection.execute(_DRIFT)).mappings().one_or_none(),
        )


async def _share(connection: AsyncConnection, run_id: int) -> float:
    done, total = await slices.done_of_total(connection, run_id)
    return done / total if total else 0.0


async def _lag(connection: AsyncConnection) -> Lag | None:
    rows = (await connection.execute(_LAGS)).all()
    delays = [
        row.received_at.timestamp() - (row.event_id.int >> 80) / 1000 for row in rows if row.event_id.version == 7
    ]
    if not delays:
        return None
    return Lag(timedelta(seconds=max(0.0, median(delays))), timedelta(seconds=max(0.0, *delays, 0.0)))
