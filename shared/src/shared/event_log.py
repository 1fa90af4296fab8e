"""Append events in the transaction of the change they tell of: the transactional outbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import Snapshot, contract_of
from shared.events import Event
from shared.ids import new_id
from shared.tracing import child_traceparent
from shared.turns import in_turns


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A fact about to be recorded. ``sequence`` is the aggregate's new version, taken under its row lock.

    ``traceparent`` is the cause's trace context; without it the current one is used.
    """

    type: str
    subject: str
    sequence: int
    time: datetime
    data: Snapshot
    traceparent: str | None = None


# One statement for any number of events. The caller holds the aggregates' row locks, so within one subject
# seq order is commit order. ORDER BY position keeps the numbers in the caller's order.
_APPEND = text(
    """
    WITH logged AS (
        INSERT INTO event_log (event_id, type, subject, sequence, time, body)
        SELECT event_id, type, subject, sequence, time, CAST(body AS json)
        FROM unnest(
            CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:subjects AS text[]), CAST(:sequences AS bigint[]),
            CAST(:times AS timestamptz[]), CAST(:bodies AS text[])
        ) WITH ORDINALITY AS e (event_id, type, subject, sequence, time, body, position)
        ORDER BY position
        RETURNING seq, subject
    )
    INSERT INTO outbox (seq, part, bulk)
    SELECT seq, hashtext(subject) & 31, :bulk FROM logged
    """
)


async def append(
    connection: AsyncConnection, source: str, news: Sequence[NewEvent], *, bulk: bool = False
) -> list[Event]:
    """Record events and queue them for sending, in the caller's transaction; the caller commits.

    ``bulk`` sends them by the bulk queues, where they never delay live events: for imports and what follows
    from them. Wake the relay after the commit (``Signal.set``). Raises ``IntegrityError`` if a (subject, sequence) is
    taken, which means two writers changed one aggregate without its lock.
    """
    if not news:
        return []
    events = [_event(source, new) async for new in in_turns(news)]
    await connection.execute(
        _APPEND,
        {
            "ids": [event.id for event in events],
            "types": [event.type for event in events],
            "subjects": [event.subject for event in events],
            "sequences": [event.sequence for event in events],
            "times": [event.time for event in events],
            "bodies": [event.encode().decode() async for event in in_turns(events)],
            "bulk": bulk,
        },
    )
    return events


def _event(source: str, new: NewEvent) -> Event:
    return Event(
        id=new_id(),
        source=source,
        type=new.type,
        subject=new.subject,
        sequence=new.sequence,
        time=new.time,
        dataschema=contract_of(new.type).dataschema,
        traceparent=child_traceparent(new.traceparent),
        data=new.data.model_dump(mode="json"),
    )
