"""The journal: every consumed event once, without personal data, append-only. It is the inbox too."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import read
from shared.contracts.base import BrokenContract
from shared.events import Event
from stats.errors import FutureTimestamp

# Clocks differ by seconds, and times without a zone by up to fourteen hours: beyond this it is wrong. The journal's
# own `fault` column says the same of a row that is there already.
FUTURE = timedelta(days=1)

Columns = dict[str, Any]


def _booking(_: Event, snapshot: Any) -> Columns:  # noqa: ANN401 - the model depends on the type
    return {
        "booking_id": snapshot.booking_id,
        "currency": snapshot.currency,
        "amount": snapshot.final_amount,
        "created_at": snapshot.created_at,
    }


def _payment(_: Event, snapshot: Any) -> Columns:  # noqa: ANN401
    return {
        "booking_id": snapshot.booking_id,
        "currency": snapshot.currency,
        "amount": snapshot.amount,
        "received": snapshot.received,
        "refunded": snapshot.refunded,
        "disputed": snapshot.disputed,
    }


def _user(_: Event, snapshot: Any) -> Columns:  # noqa: ANN401
    return {"user_id": UUID(snapshot.user_id)}


def _merge(_: Event, snapshot: Any) -> Columns:  # noqa: ANN401
    into = snapshot.merged_into
    return {"user_id": UUID(snapshot.user_id), "merged_into": UUID(into) if into else None}


def _link(_: Event, snapshot: Any) -> Columns:  # noqa: ANN401
    return {"booking_id": snapshot.booking_id, "user_id": UUID(snapshot.user_id)}


# What the projection needs, per type: an allow-list, so that a field added to a contract stays out of here
# until somebody has asked whether it is personal.
KEPT: dict[str, Callable[[Event, Any], Columns]] = {
    **dict.fromkeys(("booking.created", "booking.updated", "booking.deleted"), _booking),
    **dict.fromkeys(("payment.pending", "payment.succeeded", "payment.failed", "payment.canceled"), _payment),
    **dict.fromkeys(("payment.refunded", "payment.disputed"), _payment),
    **dict.fromkeys(("user.registered", "user.updated", "user.erased"), _user),
    **dict.fromkeys(("user.merged", "user.unmerged"), _merge),
    "user.booking_linked": _link,
}

_COLUMNS = {
    "event_id": "uuid",
    "type": "text",
    "subject": "text",
    "sequence": "bigint",
    "time": "timestamptz",
    "booking_id": "text",
    "user_id": "uuid",
    "merged_into": "uuid",
    "currency": "text",
    "amount": "numeric",
    "received": "numeric",
    "refunded": "numeric",
    "disputed": "numeric",
    "created_at": "timestamptz",
}
_ARRAYS = ", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in _COLUMNS.items())

# Sorted, so that two replicas with overlapping groups wait for each other instead of deadlocking. The id is unique
# over all partitions, because they are ranges of it.
_APPEND = text(
    f"""
    INSERT INTO journal ({", ".join(_COLUMNS)})
    SELECT * FROM unnest({_ARRAYS}) AS e ({", ".join(_COLUMNS)})
    ORDER BY event_id
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
    """  # noqa: S608 - column names of ours
)


async def append(connection: AsyncConnection, events: Sequence[Event]) -> list[Event]:
    """Append what is new and return it; the caller commits.

    Raises a contract error (``shared.contracts``) if an event does not fit its contract, and :class:`FutureTimestamp`.
    """
    by_id = {event.id: event for event in events}
    rows = [row_of(event) for event in by_id.values()]
    new = await connection.execute(_APPEND, {name: [row.get(name) for row in rows] for name in _COLUMNS})
    return [by_id[id_] for id_ in new.scalars()]


def row_of(event: Event) -> Columns:
    """Return what the journal keeps of an event: nothing personal beyond ids."""
    if event.time > datetime.now(UTC) + FUTURE:
        raise FutureTimestamp(f"{event.type} claims to be of {event.time.isoformat()}")
    try:
        kept = KEPT[event.type](event, read(event))
    except ValueError as error:  # an id that is no uuid, or an amount that is no amount
        raise BrokenContract(f"{event.type}: {type(error).__name__} in an id or amount") from None
    return {
        "event_id": event.id,
        "type": event.type,
        "subject": event.subject,
        "sequence": event.sequence,
        "time": event.time,
        **kept,
    }
