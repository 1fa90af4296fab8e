"""What the world is told of a payment: its snapshot, when it changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from payments import models
from payments.domain.payment import PaymentState, PaymentStatus
from payments.models import Payment
from shared.contracts import PaymentSnapshot
from shared.event_log import NewEvent


@dataclass(frozen=True, slots=True)
class Cause:
    """What made a payment change: when it happened in the world, and its trace."""

    time: datetime
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Bookings:
    """What is known of bookings: which one a key names, and whose it is."""

    by_key: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    async def load(
        cls, connection: AsyncConnection, keys: Iterable[str], *, also: Iterable[str | None] = ()
    ) -> "Bookings":
        """Read what is known by these keys, and of the bookings ``also`` named. Hold the matching lock."""
        return cls(*await models.bookings_known(connection, keys, also=(each for each in also if each)))

    def of(self, payment: Payment, state: PaymentState) -> str | None:
        """Return the payment's booking: as decided by hand, else what the best of its keys names, of those known."""
        if payment.matched_by_hand:
            return payment.booking_id
        return next((self.by_key[key] for key in state.booking_keys if key in self.by_key), None)

    def user_of(self, booking_id: str | None) -> str | None:
        """Return whose a booking is, if that is known."""
        return None if booking_id is None else self.users.get(booking_id)


def matched(
    payment: Payment,
    state: PaymentState,
    *,
    bookings: Bookings,
    cause: Cause,
    before: Payment | None = None,
    waits: bool = False,
) -> tuple[Payment, list[NewEvent]]:
    """Return :func:`change` with the booking and user that are the payment's by what is known."""
    booking_id = bookings.of(payment, state)
    user_id = bookings.user_of(booking_id)
    return change(payment, state, booking_id=booking_id, user_id=user_id, cause=cause, before=before, waits=waits)


def change(
    payment: Payment,
    state: PaymentState,
    *,
    booking_id: str | None,
    user_id: str | None,
    cause: Cause,
    before: Payment | None = None,
    waits: bool = False,
) -> tuple[Payment, list[NewEvent]]:
    """Return the payment as it is now, and the event that tells of it if its snapshot changed.

    ``before`` is the payment as it was told last, where ``payment`` is not that any more. A payment somebody merely
    began, or of which only a refund is known, is no news. One that ``waits``, if it is history, is first told when its
    user is known.
    """
    now = replace(payment, state=state, booking_id=booking_id, user_id=user_id)
    if state.status is PaymentStatus.CREATED or (waits and _is_untold_history(now)):
        return now, []
    told = snapshot(now)
    if payment.sequence and told == snapshot(before or payment):
        return now, []
    sequence = payment.sequence + 1
    event = NewEvent(
        type=_event_type(payment, state),
        subject=str(payment.id),
        sequence=sequence,
        time=cause.time,
        data=PaymentSnapshot.model_validate(told),
        traceparent=cause.traceparent,
    )
    return replace(now, sequence=sequence, changed_at=cause.time), [event]


def _is_untold_history(now: Payment) -> bool:
    """Whether nobody is to hear of a payment of history yet: in an import its booking's link always follows.

    One taken back before anybody heard of it is never told.
    """
    is_taken_back = now.provenance is None
    return now.migrated and not now.sequence and (now.user_id is None or is_taken_back)


def _event_type(before: Payment, after: PaymentState) -> str:
    """What changed; when neither status nor money given back did (a booking was found), what the payment is."""
    if before.state is None or not before.sequence or before.state.status is not after.status:
        return f"payment.{after.status}"
    if before.state.refunded != after.refunded:
        return "payment.refunded"
    if _disputes(before.state) != _disputes(after):
        return "payment.disputed"
    if after.refunded:
        return "payment.refunded"
    return "payment.disputed" if any(_disputes(after)) else f"payment.{after.status}"


def _disputes(state: PaymentState) -> tuple[int, int]:
    return state.disputed, state.open_disputes


def snapshot(payment: Payment) -> dict[str, object] | None:
    """Return what the contract says of a payment; ``None`` while nothing is known of it."""
    state = payment.state
    if state is None:
        return None
    return {
        "payment_id": str(payment.id),
        "booking_id": payment.booking_id,
        "user_id": payment.user_id,
        "status": state.status.value,
        "currency": state.currency,
        "amount": state.amount,
        "received": state.received,
        "refunded": state.refunded,
        "disputed": state.disputed,
        "net": state.net,
        "open_disputes": state.open_disputes,
        "fee": state.fee.minor if state.fee else None,
        "fee_currency": state.fee.currency if state.fee else None,
        "method": state.method,
        "card_brand": state.card_brand,
        "card_last4": state.card_last4,
        "stripe_payment_intent_id": state.payment_intent,
        "stripe_charge_id": state.charge,
        "stripe_checkout_session_id": state.checkout_session,
        "paid_at": state.paid_at,
        "created_at": state.created_at,
        "migrated": payment.migrated,
        "reference": payment.provenance.reference if payment.provenance else None,
        "evidence": payment.provenance.evidence if payment.provenance else None,
        "inferred_fields": payment.provenance.inferred_fields if payment.provenance else (),
    }
