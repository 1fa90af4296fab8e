"""A payment as its Stripe objects make it: a pure function of the set of what was seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from payments.domain.objects import Charge, ChargeStatus, IntentStatus, PaymentIntent, Refund
from payments.domain.refunds import SeenCharge, SeenRefund, refunded_total
from payments.domain.versions import Kept


class PaymentStatus(StrEnum):
    """``created``: somebody began to pay, or only a refund is known; no news for a booking yet."""

    CREATED = "created"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentState:
    """Amounts in minor units of ``currency``. ``booking_keys`` is what may name the booking, best first."""

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


_INTENT_STATUS: Mapping[IntentStatus, PaymentStatus] = {
    IntentStatus.REQUIRES_PAYMENT_METHOD: PaymentStatus.CREATED,
    IntentStatus.REQUIRES_CONFIRMATION: PaymentStatus.CREATED,
    IntentStatus.REQUIRES_ACTION: PaymentStatus.PENDING,
    IntentStatus.PROCESSING: PaymentStatus.PENDING,
    IntentStatus.REQUIRES_CAPTURE: PaymentStatus.PENDING,
    IntentStatus.CANCELED: PaymentStatus.CANCELED,
    IntentStatus.SUCCEEDED: PaymentStatus.SUCCEEDED,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """The objects of one payment, sorted by kind and id, so that nothing depends on the order of loading."""

    intent: PaymentIntent | None
    charges: Sequence[SeenCharge]
    refunds: Sequence[SeenRefund]
    paid_since: int | None

    @classmethod
    def of(cls, objects: Iterable[Kept]) -> "Seen":
        intent: PaymentIntent | None = None
        charges: list[SeenCharge] = []
        refunds: list[SeenRefund] = []
        paid: list[int] = []
        for kept in sorted(objects, key=lambda kept: kept.newest.object.id):
            match kept.object:
                case PaymentIntent() as intent:
                    paid += [] if kept.since is None else [kept.since]
                case Charge() as charge:
                    charges.append(SeenCharge(charge, kept.newest.seen))
                    paid += [] if kept.since is None else [kept.since]
                case Refund() as refund:
                    refunds.append(SeenRefund(refund, kept.since))
        return cls(intent, charges, refunds, min(paid, default=None))

    @property
    def charge(self) -> Charge | None:
        """The charge that speaks for the payment: a captured one before others, then the latest."""
        charges = (seen.charge for seen in self.charges)
        return max(charges, key=lambda charge: (charge.captured, charge.created, charge.id), default=None)


def state_of(objects: Iterable[Kept], *, payment_intent: str | None) -> PaymentState | None:
    """Return what the objects of one payment say together; ``None`` when there are none."""
    seen = Seen.of(objects)
    speaker = seen.intent or seen.charge or next((refund.refund for refund in seen.refunds), None)
    if speaker is None:
        return None
    received = _received(seen)
    total = refunded_total(seen.charges, seen.refunds)
    return PaymentState(
        status=_status(seen),
        currency=speaker.currency,
        amount=0 if isinstance(speaker, Refund) else speaker.amount,
        received=received,
        refunded=min(total, received) if seen.intent or seen.charge else total,
        method=(seen.charge and seen.charge.method) or (seen.intent and seen.intent.method) or None,
        payment_intent=payment_intent,
        charge=_charge_id(seen),
        paid_at=None if seen.paid_since is None else datetime.fromtimestamp(seen.paid_since, UTC),
        created_at=datetime.fromtimestamp(speaker.created, UTC),
        booking_keys=_booking_keys(seen, payment_intent),
    )


def _status(seen: Seen) -> PaymentStatus:
    charge = seen.charge
    if charge and charge.captured:
        return PaymentStatus.SUCCEEDED
    if seen.intent:
        status = PaymentStatus.FAILED if seen.intent.attempt_failed else _INTENT_STATUS[seen.intent.status]
        if status is not PaymentStatus.CREATED:
            return status
    if charge is None:
        return PaymentStatus.CREATED
    return PaymentStatus.FAILED if charge.status is ChargeStatus.FAILED else PaymentStatus.PENDING


def _received(seen: Seen) -> int:
    """The fact, not the wish. An intent and its charges may tell it separately; neither tells too much."""
    by_intent = seen.intent.amount_received if seen.intent and seen.intent.status is IntentStatus.SUCCEEDED else 0
    return max(by_intent, sum(charge.charge.amount_captured for charge in seen.charges))


def _charge_id(seen: Seen) -> str | None:
    if seen.charge and seen.charge.captured:
        return seen.charge.id
    known = (seen.intent and seen.intent.latest_charge) or (seen.charge and seen.charge.id)
    return known or next((refund.refund.charge for refund in seen.refunds if refund.refund.charge), None)


def _booking_keys(seen: Seen, payment_intent: str | None) -> tuple[str, ...]:
    """Metadata of the intent, then of its charges, then the intent's id, which a booking may have stored."""
    keys = [*(seen.intent.booking_keys if seen.intent else ())]
    for charge in seen.charges:
        keys += charge.charge.booking_keys
    return tuple(dict.fromkeys([*keys, *([payment_intent] if payment_intent else [])]))
