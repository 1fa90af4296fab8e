"""Read a service's event log completely while others write, and send it again to one consumer.

The cursor is the pair (xid, seq) and the fence is the oldest running writer: numbers alone would skip a
transaction that took its number early and committed late. Order is complete, not per subject; consumers do not
need it. In a restored database the stored xids lie in the future: run ``reset_after_restore`` once.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import aiormq
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.channel import ReopeningChannel
from shared.events import BATCH_CONTENT_TYPE, EVENTS_HEADER, encode_batch
from shared.publisher import Outgoing, Publisher

_PAGE = 2000
_BATCH = 500
_DEPTH_LIMIT = 20  # messages waiting, each up to 500 events
_THROTTLE_SECONDS = 0.2

_READ = text(
    """
    SELECT xid, seq, event_id, type, CAST(body AS text) AS body
    FROM event_log
    WHERE (xid, seq) > (CAST(CAST(:xid AS text) AS xid8), :seq)
      AND xid < pg_snapshot_xmin(pg_current_snapshot())
      AND (CAST(:type AS text) IS NULL OR type = :type)
      AND (CAST(:subject AS text) IS NULL OR subject = :subject)
      AND (CAST(:since AS timestamptz) IS NULL OR time >= :since)
    ORDER BY xid, seq LIMIT :page
    """
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events to replay; ``None`` means no restriction. ``since`` is about the event's own time."""

    type: str | None = None
    subject: str | None = None
    since: datetime | None = None


async def read(engine: AsyncEngine, selection: Selection) -> AsyncIterator[Sequence[RowMapping]]:
    """Yield pages of committed events, each in a short read-only transaction, until the fence is reached."""
    xid, seq = "0", 0
    criteria = {"type": selection.type, "subject": selection.subject, "since": selection.since, "page": _PAGE}
    while True:
        async with engine.connect() as connection:
            rows = (await connection.execute(_READ, {**criteria, "xid": xid, "seq": seq})).mappings().all()
        if not rows:
            return
        yield rows
        xid, seq = str(rows[-1]["xid"]), rows[-1]["seq"]


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
