"""What a booking can be recognised by when a payment names none: its e-mail, amount and time. Suggestions only."""

from collections.abc import Sequence

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import BookingSnapshot
from shared.events import Event
from shared.money import to_minor

# One row per booking within the statement, and the latest sequence stands: any order ends the same.
_REMEMBER = text(
    """
    INSERT INTO booking_hint (booking_id, sequence, reference, email, amount, currency, created_at, deleted)
    SELECT DISTINCT ON (booking_id) booking_id, sequence, reference, email, amount, currency, created_at, deleted
    FROM json_to_recordset(CAST(:rows AS json)) AS r (
        booking_id text, sequence bigint, reference text, email text, amount bigint, currency text,
        created_at timestamptz, deleted boolean
    )
    ORDER BY booking_id, sequence DESC
    ON CONFLICT (booking_id) DO UPDATE SET
        sequence = excluded.sequence, reference = excluded.reference, email = excluded.email,
        amount = excluded.amount, currency = excluded.currency, created_at = excluded.created_at,
        deleted = excluded.deleted
    WHERE booking_hint.sequence < excluded.sequence
    """
)


async def remember_bookings(connection: AsyncConnection, told: Sequence[tuple[Event, BookingSnapshot]]) -> None:
    """Remember the newest version of each booking; the caller commits."""
    if told:
        await connection.execute(_REMEMBER, {"rows": to_json([_row(*each) for each in told]).decode()})


def _row(event: Event, booking: BookingSnapshot) -> dict[str, object]:
    return {
        "booking_id": booking.booking_id,
        "sequence": event.sequence,
        "reference": booking.booking_reference,
        "email": comparable(booking.contact.email),
        "amount": _minor(booking),
        "currency": booking.currency,
        "created_at": booking.created_at,
        "deleted": event.type == "booking.deleted",
    }


def comparable(email: str | None) -> str | None:
    """Return an address as it is compared: good enough to suggest, no identity."""
    return (email or "").strip().casefold() or None


def _minor(booking: BookingSnapshot) -> int | None:
    if booking.final_amount is None:
        return None
    try:
        minor = to_minor(booking.final_amount, booking.currency)
    except ValueError:
        return None
    return minor if abs(minor) < 2**63 else None
