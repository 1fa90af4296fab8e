"""Match: a booking's names are remembered, and payments that name it find it, whichever came first."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from payments import models
from payments.models import Payment
from payments.service.announce import Cause, booking_of, change
from shared.contracts import BookingSnapshot
from shared.event_log import NewEvent


async def match_bookings(connection: AsyncConnection, bookings: Sequence[BookingSnapshot]) -> list[NewEvent]:
    """Remember what these versions of bookings are called and match payments to them; the caller commits.

    Any version of a booking adds its names, old or new, so the outcome does not depend on their order. Returns the
    snapshots to publish, with the time of the payment's last news: being matched is no event of its own.
    """
    names = [(key, booking.booking_id) for booking in bookings for key in _keys(booking)]
    new_keys = await models.add_booking_keys(connection, names)
    if not new_keys:
        return []
    await models.own_matching(connection)
    payments = await models.lock_payments_naming(connection, new_keys)
    known = await models.bookings_by_key(connection, [key for payment in payments for key in _keys_of(payment)])
    changed: list[Payment] = []
    news: list[NewEvent] = []
    for payment in payments:
        if payment.matched_by_hand or payment.state is None or booking_of(payment.state, known) == payment.booking_id:
            continue
        cause = Cause(payment.changed_at or payment.state.created_at)
        matched, event = change(payment, payment.state, booking_id=booking_of(payment.state, known), cause=cause)
        changed.append(matched)
        news += event
    await models.save_payments(connection, changed)
    return news


def _keys(booking: BookingSnapshot) -> list[str]:
    """A booking's names: id, reference and the PaymentIntent it stored."""
    stored = (booking.payment_reference or "").strip()
    names = [booking.booking_id, (booking.booking_reference or "").strip()]
    return [name for name in (*names, stored if stored.startswith("pi_") else "") if name]


def _keys_of(payment: Payment) -> tuple[str, ...]:
    return payment.state.booking_keys if payment.state else ()
