"""What the world is told of a payment: its snapshot, when it changed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from payments.domain.payment import PaymentState, PaymentStatus
from payments.models import Payment
from shared.contracts import PaymentSnapshot
from shared.event_log import NewEvent


@dataclass(frozen=True, slots=True)
class Cause:
    """What made a payment change: when it happened in the world, and its trace."""

    time: datetime
    traceparent: str | None = None


def change(
    payment: Payment, state: PaymentState, *, booking_id: str | None, cause: Cause
) -> tuple[Payment, list[NewEvent]]:
    """Return the payment as it is now, and the event that tells of it if its snapshot changed.

    A payment somebody merely began, or of which only a refund is known, is no news.
    """
    now = replace(payment, state=state, booking_id=booking_id)
    if state.status is PaymentStatus.CREATED or (payment.sequence and _snapshot(now) == _snapshot(payment)):
        return now, []
    now = replace(now, sequence=payment.sequence + 1, changed_at=cause.time)
    event = NewEvent(
        type=_event_type(payment, state),
        subject=str(payment.id),
        sequence=now.sequence,
        time=cause.time,
        data=PaymentSnapshot.model_validate(_snapshot(now)),
        traceparent=cause.traceparent,
    )
    return now, [event]


def booking_of(state: PaymentState, bookings: Mapping[str, str]) -> str | None:
    """Return the booking the best of the payment's keys names, of those known."""
    return next((bookings[key] for key in state.booking_keys if key in bookings), None)


def _event_type(before: Payment, after: PaymentState) -> str:
    """What changed; when neither status nor refunds did (a booking was found), what the payment is."""
    if before.state is None or not before.sequence or before.state.status is not after.status:
        return f"payment.{after.status}"
    if after.refunded or before.state.refunded != after.refunded:
        return "payment.refunded"
    return f"payment.{after.status}"


def _snapshot(payment: Payment) -> dict[str, object] | None:
    state = payment.state
    if state is None:
        return None
    return {
        "payment_id": str(payment.id),
        "booking_id": payment.booking_id,
        "status": state.status.value,
        "currency": state.currency,
        "amount": state.amount,
        "received": state.received,
        "refunded": state.refunded,
        "method": state.method,
        "stripe_payment_intent_id": state.payment_intent,
        "stripe_charge_id": state.charge,
        "paid_at": state.paid_at,
        "created_at": state.created_at,
        "migrated": payment.migrated,
    }
