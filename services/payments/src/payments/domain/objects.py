"""Stripe's objects as this service understands them, whatever API version wrote them.

Amounts are minor units, times unix seconds, currencies upper-case ISO codes. ``None`` means: not shown.
https://docs.stripe.com/api/payment_intents/object, …/charges/object, …/refunds/object, …/disputes/object,
…/checkout/sessions/object
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class IntentStatus(StrEnum):
    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    CANCELED = "canceled"
    SUCCEEDED = "succeeded"


class ChargeStatus(StrEnum):
    PENDING = "pending"
    FAILED = "failed"
    SUCCEEDED = "succeeded"


class RefundStatus(StrEnum):
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class DisputeStatus(StrEnum):
    """``warning_*`` is an inquiry: a question that took no money."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    APPEAL_NEEDS_RESPONSE = "appeal_needs_response"
    APPEAL_UNDER_REVIEW = "appeal_under_review"
    WON = "won"
    LOST = "lost"
    PREVENTED = "prevented"


class SessionStatus(StrEnum):
    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


class SessionPayment(StrEnum):
    PAID = "paid"
    UNPAID = "unpaid"
    NO_PAYMENT_REQUIRED = "no_payment_required"


@dataclass(frozen=True, slots=True)
class Amount:
    """Signed minor units of a currency of their own: fees and settlements are in the account's, not the customer's."""

    minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentIntent:
    """The wish to be paid. ``attempt_failed`` says it is back at the start after an error."""

    id: str
    status: IntentStatus
    currency: str
    amount: int
    amount_received: int
    attempt_failed: bool
    latest_charge: str | None
    method: str | None
    booking_keys: tuple[str, ...]
    created: int
    kind: Literal["payment_intent"] = "payment_intent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Money taken, or reserved while not ``captured``. ``amount_refunded`` may fall again."""

    id: str
    status: ChargeStatus
    captured: bool
    currency: str
    amount: int
    amount_captured: int
    amount_refunded: int
    payment_intent: str | None
    balance_transaction: str | None
    fee: Amount | None
    method: str | None
    card_brand: str | None
    card_last4: str | None
    booking_keys: tuple[str, ...]
    created: int
    kind: Literal["charge"] = "charge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money given back; it may still fail days later."""

    id: str
    status: RefundStatus
    currency: str
    amount: int
    charge: str | None
    payment_intent: str | None
    reason: str | None
    created: int
    kind: Literal["refund"] = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A chargeback or an inquiry. ``movements`` are what the account lost and got back, negative when lost."""

    id: str
    status: DisputeStatus
    currency: str
    amount: int
    charge: str | None
    payment_intent: str | None
    movements: tuple[Amount, ...] | None
    reason: str | None
    created: int
    kind: Literal["dispute"] = "dispute"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutSession:
    """A visit to Stripe's checkout page. ``failed_at`` is known from an event's name alone: the object says unpaid.

    ``takes_payment`` is false where a method is set up or a subscription begins: those pay by intents of their own.
    """

    id: str
    status: SessionStatus
    payment_status: SessionPayment
    takes_payment: bool
    currency: str | None
    amount: int
    payment_intent: str | None
    failed_at: int | None
    booking_keys: tuple[str, ...]
    created: int
    kind: Literal["checkout_session"] = "checkout_session"

    @property
    def is_settled(self) -> bool:
        """Paid, or free."""
        return self.payment_status is not SessionPayment.UNPAID


StripeObject = PaymentIntent | Charge | Refund | Dispute | CheckoutSession
