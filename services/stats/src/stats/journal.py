"""The journal: every consumed event once, without personal data, append-only. It is the inbox too."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import read
from shared.events import Event

# What the projection needs, per type: an allow-list, so that a field added to a contract stays out of here
# until somebody has asked whether it is personal.
_BOOKING = {"booking_id", "status", "final_amount", "currency", "created_at", "imported"}
_PAYMENT = {"payment_id", "booking_id", "status", "currency", "amount", "received", "refunded", "paid_at", "migrated"}
KEPT = {
    "booking.created": _BOOKING,
    "booking.updated": _BOOKING,
    "booking.deleted": _BOOKING,
    "payment.pending": _PAYMENT,
    "payment.succeeded": _PAYMENT,
    "payment.failed": _PAYMENT,
    "payment.canceled": _PAYMENT,
    "payment.refunded": _PAYMENT,
    "payment.disputed": _PAYMENT,
    "user.registered": {"user_id", "placeholder", "created_at"},
    "user.updated": {"user_id", "placeholder", "created_at"},
    "user.booking_linked": {"booking_id", "user_id"},
}

# Sorted, so that two replicas with overlapping groups wait for each other instead of deadlocking.
_APPEND = text(
    """
    INSERT INTO journal (event_id, type, subject, sequence, time, data)
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:subjects AS text[]), CAST(:sequences AS bigint[]),
        CAST(:times AS timestamptz[]), CAST(CAST(:data AS text[]) AS jsonb[])
    ) AS e (event_id, type, subject, sequence, time, data)
    ORDER BY event_id
    ON CONFLICT DO NOTHING
    RETURNING event_id
    """
)
_NUMBERS = text("SELECT seq FROM journal WHERE event_id = ANY(CAST(:ids AS uuid[]))")


async def append(connection: AsyncConnection, events: Sequence[Event]) -> list[Event]:
    """Append what is new and return it; the caller commits.

    Raises a contract error (``shared.contracts``) if an event does not fit its contract.
    """
    by_id = {event.id: event for event in events}
    new = await connection.execute(
        _APPEND,
        {
            "ids": list(by_id),
            "types": [event.type for event in by_id.values()],
            "subjects": [event.subject for event in by_id.values()],
            "sequences": [event.sequence for event in by_id.values()],
            "times": [event.time for event in by_id.values()],
            "data": [stripped(event) for event in by_id.values()],
        },
    )
    return [by_id[id_] for id_ in new.scalars()]


def stripped(event: Event) -> str:
    """Return the event's data as JSON with only what statistics need."""
    snapshot = read(event)
    json: str = snapshot.model_dump_json(include=KEPT[event.type])
    return json


async def numbers_of(connection: AsyncConnection, events: Sequence[Event]) -> list[int]:
    """Return the journal numbers of events just appended."""
    return list((await connection.execute(_NUMBERS, {"ids": [event.id for event in events]})).scalars())
