"""A payment as its Stripe objects make it: a pure function of the set of what was seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from payments.domain.disputes import disputed_total, is_open
from payments.domain.objects import (
    Amount,
    Charge,
    ChargeStatus,
    CheckoutSession,
    Dispute,
    IntentStatus,
    Refund,
    SessionStatus,
)
from payments.domain.refunds import Refunded, SeenCharge, refunded
from payments.domain.seen import Seen
from payments.domain.versions import Kept


class PaymentStatus(StrEnum):
    """``created``: somebody began to pay, or only a refund or dispute is known; no news for a booking yet."""

    CREATED = "created"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentState:
    """Amounts in minor units of ``currency``. ``booking_keys`` is what may name the booking, best first.

    ``disputed`` is what disputes hold now, ``open_disputes`` how many wait for a decision. ``fee`` is in the account's
    currency. ``unexplained`` are charges whose refunds are not all known; not stored.
    """

    status: PaymentStatus
    currency: str
    amount: int
    received: int
    refunded: int
    method: str | None
    payment_intent: str | None
    charge: str | None
    paid_at: datetime | None
    created_at: datetime
    booking_keys: tuple[str, ...]
    disputed: int = 0
    open_disputes: int = 0
    fee: Amount | None = None
    card_brand: str | None = None
    card_last4: str | None = None
    checkout_session: str | None = None
    unexplained: tuple[str, ...] = field(default=(), compare=False)

    @property
    def net(self) -> int:
        """What is left. Refunds never make it negative; a dispute after a refund may."""
        return self.received - self.refunded - self.disputed


_INTENT_STATUS: Mapping[IntentStatus, PaymentStatus] = {
    IntentStatus.REQUIRES_PAYMENT_METHOD: PaymentStatus.CREATED,
    IntentStatus.REQUIRES_CONFIRMATION: PaymentStatus.CREATED,
    IntentStatus.REQUIRES_ACTION: PaymentStatus.PENDING,
    IntentStatus.PROCESSING: PaymentStatus.PENDING,
    IntentStatus.REQUIRES_CAPTURE: PaymentStatus.PENDING,
    IntentStatus.CANCELED: PaymentStatus.CANCELED,
    IntentStatus.SUCCEEDED: PaymentStatus.SUCCEEDED,
}


def state_of(objects: Iterable[Kept], *, payment_intent: str | None) -> PaymentState | None:
    """Return what the objects of one payment say together; ``None`` when there are none."""
    seen = Seen.of(objects)
    speaker = seen.speaker
    if speaker is None or speaker.currency is None:
        return None
    received = _received(seen, speaker.currency)
    given_back = _refunded(seen, received)
    charge = seen.charge
    return PaymentState(
        status=_status(seen),
        currency=speaker.currency,
        amount=0 if isinstance(speaker, Refund | Dispute) else speaker.amount,
        received=received,
        refunded=given_back.total,
        disputed=disputed_total(seen.disputes, currency=speaker.currency, received=received),
        open_disputes=sum(map(is_open, seen.disputes)),
        fee=_fee(seen.charges),
        method=(charge and charge.method) or (seen.intent and seen.intent.method) or None,
        card_brand=charge.card_brand if charge else None,
        card_last4=charge.card_last4 if charge else None,
        payment_intent=payment_intent,
        charge=_charge_id(seen),
        checkout_session=seen.session.id if seen.session else None,
        paid_at=datetime.fromtimestamp(min(seen.paid), UTC) if seen.paid else None,
        created_at=datetime.fromtimestamp(speaker.created, UTC),
        booking_keys=_booking_keys(seen, payment_intent),
        unexplained=given_back.unexplained,
    )


def _status(seen: Seen) -> PaymentStatus:
    """The furthest anything of it says: money taken, then the intent, then the checkout, then an attempt's charge."""
    session = seen.session
    if (seen.charge and seen.charge.captured) or (session and session.is_settled):
        return PaymentStatus.SUCCEEDED
    if seen.intent and (status := _by_intent(seen)) is not PaymentStatus.CREATED:
        return status
    if session and (status := _by_session(session)) is not PaymentStatus.CREATED:
        return status
    return _by_charge(seen.charge) if seen.charge else PaymentStatus.CREATED


def _by_intent(seen: Seen) -> PaymentStatus:
    """A checkout that failed after the intent was last seen under way is the later news."""
    intent, session = seen.intent, seen.session
    if intent is None:
        return PaymentStatus.CREATED
    status = PaymentStatus.FAILED if intent.attempt_failed else _INTENT_STATUS[intent.status]
    failed_at = session.failed_at if session else None
    overtaken = failed_at is not None and failed_at >= seen.intent_seen
    return PaymentStatus.FAILED if overtaken and status is PaymentStatus.PENDING else status


def _by_session(session: CheckoutSession) -> PaymentStatus:
    """An expired session was never paid and never news; a complete one waits for a delayed method."""
    if session.status is not SessionStatus.COMPLETE:
        return PaymentStatus.CREATED
    return PaymentStatus.PENDING if session.failed_at is None else PaymentStatus.FAILED


def _by_charge(charge: Charge) -> PaymentStatus:
    """One that took no money: an attempt that failed, one under way or reserved, or a reserve released in full."""
    if charge.status is ChargeStatus.FAILED:
        return PaymentStatus.FAILED
    released = charge.status is ChargeStatus.SUCCEEDED and charge.amount_refunded >= charge.amount
    return PaymentStatus.CANCELED if released else PaymentStatus.PENDING


def _received(seen: Seen, currency: str) -> int:
    """The fact, not the wish. An intent and its charges may tell it separately; neither tells too much.

    While neither has told, a paid checkout has.
    """
    by_intent = seen.intent.amount_received if seen.intent and seen.intent.status is IntentStatus.SUCCEEDED else 0
    taken = max(by_intent, sum(each.charge.amount_captured for each in seen.charges))
    session = seen.session
    by_session = session.amount if session and session.is_settled and session.currency == currency else 0
    return taken or by_session


def _refunded(seen: Seen, received: int) -> Refunded:
    found = refunded(seen.charges, seen.refunds)
    has_payment = seen.intent or seen.charge or seen.session
    return Refunded(min(found.total, received), found.unexplained) if has_payment else found


def _fee(charges: Sequence[SeenCharge]) -> Amount | None:
    """What Stripe kept for the captured charges, once all of them tell and in one currency."""
    fees = [seen.charge.fee for seen in charges if seen.charge.captured]
    known = [fee for fee in fees if fee]
    if not fees or len(known) < len(fees) or len({fee.currency for fee in known}) > 1:
        return None
    return Amount(sum(fee.minor for fee in known), known[0].currency)


def _charge_id(seen: Seen) -> str | None:
    if seen.charge and seen.charge.captured:
        return seen.charge.id
    known = (seen.intent and seen.intent.latest_charge) or (seen.charge and seen.charge.id)
    named = (*(refund.refund.charge for refund in seen.refunds), *(dispute.charge for dispute in seen.disputes))
    return known or next((charge for charge in named if charge), None)


def _booking_keys(seen: Seen, payment_intent: str | None) -> tuple[str, ...]:
    """What the intent names, its charges, its checkout, then the intent's id, which a booking may have stored."""
    keys = [*(seen.intent.booking_keys if seen.intent else ())]
    for charge in seen.charges:
        keys += charge.charge.booking_keys
    for session in seen.sessions:
        keys += session.booking_keys
    return tuple(dict.fromkeys([*keys, *([payment_intent] if payment_intent else [])]))
