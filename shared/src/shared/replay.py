"""Read a service's event log completely while others write, and send it again to one consumer.

The cursor is the pair (xid, seq) and the fence is the oldest running writer: numbers alone would skip a
transaction that took its number early and committed late. Order is complete, not per subject; consumers do not
need it. In a restored database stored xids may lie in the future: ``migrate`` mends that (``reset_after_restore``).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import aiormq
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.channel import ReopeningChannel
from shared.events import BATCH_CONTENT_TYPE, EVENTS_HEADER, encode_batch
from shared.publisher import Outgoing, Publisher

_PAGE = 2000
_BATCH = 500
_DEPTH_LIMIT = 20  # messages waiting, each up to 500 events
_THROTTLE_SECONDS = 0.2
_FENCE_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0

_SELECTED = """
    (CAST(:type AS text) IS NULL OR type = :type)
    AND (CAST(:subject AS text) IS NULL OR subject = :subject)
    AND (CAST(:since AS timestamptz) IS NULL OR recorded_at >= :since)
"""
_READ = text(
    f"""
    SELECT xid, seq, event_id, type, CAST(body AS text) AS body
    FROM event_log
    WHERE (xid, seq) > (CAST(CAST(:xid AS text) AS xid8), :seq)
      AND xid < pg_snapshot_xmin(pg_current_snapshot())
      AND {_SELECTED}
    ORDER BY xid, seq LIMIT :page
    """  # noqa: S608
)
_BOUND = text("SELECT coalesce(max(seq), 0) FROM event_log")
# What was committed when we began and is not yet behind the fence, and who holds the fence.
_BEHIND = text(
    f"""
    SELECT count(*) AS events,
           (SELECT format('pid %s of database %s, since %s', pid, datname, date_trunc('second', xact_start))
            FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY age(backend_xid) DESC LIMIT 1) AS holder
    FROM event_log
    WHERE seq <= :bound AND (xid, seq) > (CAST(CAST(:xid AS text) AS xid8), :seq) AND {_SELECTED}
    """  # noqa: S608
)
_RESET = text("UPDATE event_log SET xid = '0' WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())")


class FenceHeld(Exception):
    """A writing transaction somewhere in the database cluster is older than events to be read.

    Nothing is lost: they can be read when it ends. End it, or try again later.
    """


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events to replay; ``None`` means no restriction. ``since`` is about when an event was recorded."""

    type: str | None = None
    subject: str | None = None
    since: datetime | None = None


async def read(
    engine: AsyncEngine, selection: Selection, *, patience: float = _PATIENCE_SECONDS
) -> AsyncIterator[Sequence[RowMapping]]:
    """Yield pages of committed events, each in a short read-only transaction, until all there were at the start came.

    Events younger than somebody's open writing transaction cannot be read yet: waits ``patience`` seconds for it,
    then raises :class:`FenceHeld` naming it.
    """
    criteria = {"type": selection.type, "subject": selection.subject, "since": selection.since}
    async with engine.connect() as connection:
        bound = (await connection.execute(_BOUND)).scalar_one()
    deadline = asyncio.get_running_loop().time() + patience
    cursor = {"xid": "0", "seq": 0}
    while True:
        async with engine.connect() as connection:
            rows = (await connection.execute(_READ, {**criteria, **cursor, "page": _PAGE})).mappings().all()
        if rows:
            yield rows
            cursor = {"xid": str(rows[-1]["xid"]), "seq": rows[-1]["seq"]}
            continue
        async with engine.connect() as connection:
            behind = (await connection.execute(_BEHIND, {**criteria, **cursor, "bound": bound})).one()
        if not behind.events:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise FenceHeld(f"{behind.events} events wait for an older writing transaction: {behind.holder}")
        await asyncio.sleep(_FENCE_SECONDS)


async def reset_after_restore(connection: AsyncConnection) -> int:
    """Give events of another cluster an xid that is past; return how many. The caller commits. Safe to repeat.

    Transaction ids belong to one cluster. In a restored database those of the log may lie in the future, and a reader
    would wait for them for ever; no event of this cluster can look like that. Order by ``seq`` remains.
    """
    return (await connection.execute(_RESET)).rowcount


async def replay(
    engine: AsyncEngine, publisher: Publisher, probe: ReopeningChannel, *, to: str, selection: Selection
) -> AsyncIterator[int]:
    """Send the selected events to ``<to>.bulk`` with their own ids, yielding how many went so far.

    Waits while that queue is deep. Safe to repeat and to stop. Raises ``LookupError`` if ``to`` has no queue.
    """
    queue = f"{to}.bulk"
    total = 0
    async for page in read(engine, selection):
        await _wait_for_room(probe, queue)
        for outcome in await publisher.publish(list(_parcels(page, queue))):
            if outcome is not None:
                raise ConnectionError(f"the replay was cut off after {total} events: {outcome}")
        total += len(page)
        yield total


async def _wait_for_room(probe: ReopeningChannel, queue: str) -> None:
    while True:
        channel = await probe.get()
        try:
            depth = (await channel.queue_declare(queue, passive=True)).message_count or 0
        except aiormq.exceptions.ChannelNotFoundEntity:
            raise LookupError(f"there is no queue {queue!r}: is that service's name right, and has it run?") from None
        if depth < _DEPTH_LIMIT:
            return
        await asyncio.sleep(_THROTTLE_SECONDS)


def _parcels(page: Sequence[RowMapping], queue: str) -> list[Outgoing]:
    """Batches of one type; a page may be sorted freely because a replay promises no order."""
    parcels = []
    for _, run in groupby(sorted(page, key=lambda row: str(row["type"])), key=lambda row: row["type"]):
        rows = list(run)
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            parcels.append(
                Outgoing(
                    body=encode_batch([row["body"] for row in batch]),
                    routing_key=queue,
                    content_type=BATCH_CONTENT_TYPE,
                    message_id=str(batch[0]["event_id"]),
                    headers={EVENTS_HEADER: len(batch)},
                )
            )
    return parcels
