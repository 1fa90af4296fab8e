"""The ledger's rows: what became of each booking. Written in the transaction that publishes it."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.history.items import Item
from bookings_gateway.history.runs import Run
from bookings_gateway.taken_back import bring_back
from shared.event_log import NewEvent, append
from shared.events import Event

# Holding capture's turn keeps them still.
_VERSIONS = text(
    """
    SELECT wanted.subject, (SELECT max(l.sequence) FROM event_log l WHERE l.subject = wanted.subject) AS sequence
    FROM unnest(CAST(:subjects AS text[])) AS wanted (subject)
    """
)
# A booking tried again, or imported again after it was taken back, keeps its row.
_ENTER = text(
    """
    INSERT INTO import_item AS t
        (booking_id, run_id, outcome, code, detail, sha256, event_id, sequence, status, contact, class, amount,
         refunded, currency, month, reviews, person, booked_at)
    SELECT booking_id, :run, outcome, code, detail, sha256, event_id, sequence, status, contact, class, amount,
           refunded, currency, month, CAST(reviews AS text[]), person, booked_at
    FROM unnest(
        CAST(:booking_id AS text[]), CAST(:outcome AS text[]), CAST(:code AS text[]), CAST(:detail AS text[]),
        CAST(:sha256 AS bytea[]), CAST(:event_id AS uuid[]), CAST(:sequence AS bigint[]), CAST(:status AS text[]),
        CAST(:contact AS text[]), CAST(:class AS text[]), CAST(:amount AS numeric[]), CAST(:refunded AS boolean[]),
        CAST(:currency AS text[]), CAST(:month AS date[]), CAST(:reviews AS text[]),
        CAST(:person AS bytea[]), CAST(:booked_at AS timestamptz[])
    ) AS n (booking_id, outcome, code, detail, sha256, event_id, sequence, status, contact, class, amount, refunded,
            currency, month, reviews, person, booked_at)
    ON CONFLICT (booking_id) DO UPDATE SET
        run_id = excluded.run_id, outcome = excluded.outcome, code = excluded.code, detail = excluded.detail,
        attempts = t.attempts + 1, sha256 = excluded.sha256, event_id = excluded.event_id,
        sequence = excluded.sequence, status = excluded.status, contact = excluded.contact, class = excluded.class,
        amount = excluded.amount, refunded = excluded.refunded, currency = excluded.currency, month = excluded.month,
        reviews = excluded.reviews, person = excluded.person, booked_at = excluded.booked_at,
        decided_by = NULL, decided_at = NULL, reason = NULL, imported_at = clock_timestamp()
    """
)
# Of one tried again nothing is decided: what it was about may be gone.
_UNDECIDED = text("DELETE FROM import_verdict WHERE booking_id = ANY(CAST(:ids AS text[]))")


async def publish(connection: AsyncConnection, source: str, run: Run, items: Sequence[Item]) -> None:
    """Tell the items' snapshots as the next version of each booking and enter all into the ledger; the caller commits.

    The caller holds capture's turn: nobody else counts versions on meanwhile.
    """
    told = [item for item in items if item.snapshot is not None]
    found = await connection.execute(_VERSIONS, {"subjects": [item.booking_id for item in told]})
    known = {row.subject: row.sequence or 0 for row in found}
    news = [_event(item, known[item.booking_id] + 1) for item in told]
    events = await append(connection, source, news, bulk=True)
    await bring_back(connection, known)
    await connection.execute(_UNDECIDED, {"ids": [item.booking_id for item in items]})
    by_booking = {event.subject: event for event in events}
    await connection.execute(_ENTER, {"run": run.id, **_columns(items, by_booking)})


def _event(item: Item, sequence: int) -> NewEvent:
    if item.snapshot is None or item.time is None:
        raise ValueError(f"booking {item.booking_id} is set aside")
    return NewEvent("booking.created", item.booking_id, sequence, item.time, item.snapshot)


def _columns(items: Sequence[Item], events: dict[str, Event]) -> dict[str, list[object]]:
    rows = [_row(item, events.get(item.booking_id)) for item in items]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _row(item: Item, event: Event | None) -> dict[str, object]:
    return {
        "booking_id": item.booking_id,
        "outcome": item.outcome,
        "code": item.code,
        "detail": item.detail,
        "sha256": item.sha256,
        "event_id": event.id if event else None,
        "sequence": event.sequence if event else None,
        "status": item.status,
        "contact": str(item.contact),
        "class": str(item.class_),
        "amount": item.amount,
        "refunded": item.refunded,
        "currency": item.currency,
        "month": item.month,
        "reviews": "{" + ",".join(item.reviews) + "}",
        "person": item.person,
        "booked_at": item.time if item.person else None,
    }
