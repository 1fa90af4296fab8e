"""HTTP bodies of one payment: refunds, manual payments, the timeline."""

from typing import Any, Literal
from uuid import UUID

from bookings_gateway.schemas_admin import (
    Currency,
    Given,
    Instant,
    Moment,
    MoneyGiven,
    PaymentItem,
    Shown,
    Word,
    examples,
)


class RefundOrder(Given):
    """How much of a payment is given back, in the payment's currency."""

    model_config = examples({"amount": "20.00", "reason": "requested_by_customer"})

    amount: MoneyGiven
    reason: Word | None = None


class Refund(Shown):
    """A refund asked for; a ``pending`` one is sent to Stripe again until it answers."""

    id: UUID
    payment_id: UUID
    state: Literal["pending", "accepted", "refused"]
    amount: str
    currency: str
    reason: str | None
    requested_by: str
    requested_at: Instant
    stripe_refund_id: str | None


class ManualPayment(Given):
    """A payment that came by cash, bank transfer or invoice. ``booking`` is a booking's id or reference."""

    model_config = examples(
        {
            "method": "bank_transfer",
            "amount": "67.50",
            "currency": "GBP",
            "paidAt": "2026-03-01T10:00:00.000Z",
            "booking": "BK-2026-0042",
            "reference": "statement 12, line 4",
        }
    )

    method: Literal["cash", "bank_transfer", "invoice"]
    amount: MoneyGiven
    currency: Currency
    paid_at: Moment
    booking: Word
    reference: Word | None = None


class TimelineItem(Shown):
    """Something that happened to a payment: ``kind`` says what ``facts`` holds."""

    time: Instant
    kind: str
    facts: dict[str, Any]


class RemotePayment(Shown):
    """A payment as the payments service answers it: of its fields, the id is needed here."""

    id: UUID


class DetailOfPayments(Shown):
    payment: RemotePayment
    timeline: list[TimelineItem]


class PaymentDetail(PaymentItem):
    """A payment and what happened to it, oldest first; null while the payments service is away."""

    timeline: list[TimelineItem] | None
    unavailable: list[str]


class RecordedPayment(Shown):
    """A payment just recorded; the lists follow in a moment."""

    id: UUID
    timeline: list[TimelineItem]
