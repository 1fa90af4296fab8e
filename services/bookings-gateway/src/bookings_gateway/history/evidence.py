"""What a historical row proves of its payment. Pure.

The customer's document takes the status words PAID, COMPLETED and ATTENDED for payments. The card path stored its
bookings as CONFIRMED, and ATTENDED proves no payment: so evidence decides, and the three words still count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from shared.contracts import BookingSnapshot, RecordedPayment
from shared.money import to_minor

_PAID_WORDS = frozenset(["paid", "completed", "attended"])
_UNSURE_WORDS = frozenset(["completed", "attended"])
_UNPAID_INVOICE_WORDS = frozenset(["pending", "confirmed"])
_NOT_PAID = frozenset(["pending", "failed", "unpaid"])


class Class(StrEnum):
    """By what a row's payment is known. The first four make a payment."""

    STRIPE = "stripe"
    RECORDED = "recorded"
    STATUS_ONLY = "status_only"
    INVOICE = "invoice"
    NONE = "none"
    FREE = "free"
    REVIEW = "review"


PAYING = (Class.STRIPE, Class.RECORDED, Class.STATUS_ONLY, Class.INVOICE)


class Review(StrEnum):
    """Why a person should look at a row. The row itself is never changed for it."""

    AMOUNT_UNUSABLE = "amount_unusable"
    STATUS_PROVES_LITTLE = "status_proves_little"
    PAID_THEN_CANCELLED = "paid_then_cancelled"
    REFUND_AMOUNT_ASSUMED = "refund_amount_assumed"
    INTENT_SHARED = "intent_shared"
    INTENT_NOT_PAID = "intent_not_paid"
    PAYMENT_DATE_UNUSABLE = "payment_date_unusable"
    CREATED_AT_MISSING = "created_at_missing"
    # Found when verifying: with what Stripe says of the payment; and another amount came by Stripe or by hand as well.
    AMOUNT_DISAGREES = "amount_disagrees"
    PAID_BESIDES = "paid_besides"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the row alone does not say.

    ``payment_status`` is the layout's own word, where it has one. ``shared_intent``: another booking stored the same
    PaymentIntent and goes first. ``ambiguous_reference``: other bookings have the same reference. ``unusable_date``:
    its date of payment is none.
    """

    fallback_time: datetime
    payment_status: str | None = None
    shared_intent: bool = False
    ambiguous_reference: bool = False
    unusable_date: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """The class of a row, the payment it makes, and what a person should look at."""

    class_: Class
    payment: RecordedPayment | None
    reviews: Sequence[Review]


def weigh(booking: BookingSnapshot, around: Circumstances) -> Finding:
    """Return what a row proves of its payment, as the reference's table has it, top line first."""
    reviews: list[Review] = [] if booking.created_at else [Review.CREATED_AT_MISSING]
    reviews += [Review.PAYMENT_DATE_UNUSABLE] if around.unusable_date else []
    if not is_payable(booking.final_amount, booking.currency):
        return Finding(Class.REVIEW, None, [*reviews, Review.AMOUNT_UNUSABLE])
    if not booking.final_amount:
        return Finding(Class.FREE, None, reviews)
    class_ = _class(booking, around)
    if intent_of(booking) and around.shared_intent:
        return Finding(Class.REVIEW, None, [*reviews, Review.INTENT_SHARED])
    if class_ not in PAYING:
        refused = [Review.INTENT_NOT_PAID] if intent_of(booking) else []
        return Finding(class_, None, [*reviews, *refused])
    return Finding(class_, _payment(booking, around, class_), [*reviews, *_doubts(booking, around, class_)])


def is_payable(amount: Decimal | None, currency: str) -> bool:
    """Whether an amount can be paid at all: not missing, not negative, no fractions of a penny."""
    if amount is None or amount < 0:
        return False
    try:
        return to_minor(amount, currency) < 2**63
    except ValueError:
        return False


def intent_of(booking: BookingSnapshot) -> str | None:
    """Return the PaymentIntent a row stored, if its reference is one."""
    reference = booking.payment_reference or ""
    return reference if reference.startswith("pi_") else None


def _class(booking: BookingSnapshot, around: Circumstances) -> Class:
    status, told = _word(booking.status), _word(around.payment_status)
    if intent_of(booking) and told not in _NOT_PAID and status != "payment_failed":
        return Class.STRIPE
    is_dated = booking.payment_date is not None or told in {"paid", "refunded"}
    if _word(booking.payment_method) == "invoice" and not is_dated and status in _UNPAID_INVOICE_WORDS:
        return Class.INVOICE
    has_reference = booking.payment_reference and not intent_of(booking)
    if booking.payment_date or ((is_dated or has_reference) and told not in _NOT_PAID and status != "payment_failed"):
        return Class.RECORDED
    return Class.STATUS_ONLY if status in _PAID_WORDS or _is_refunded(booking, around) else Class.NONE


def _payment(booking: BookingSnapshot, around: Circumstances, class_: Class) -> RecordedPayment:
    inferred = {
        "paid_at": booking.payment_date is None,
        "method": booking.payment_method is None,
        "status": class_ is Class.STATUS_ONLY,
        "reference": booking.booking_reference is None or around.ambiguous_reference,
        "refunded": _is_refunded(booking, around),
    }
    evidence: Literal["stripe", "recorded", "status_only", "invoice"] = class_.value  # type: ignore[assignment]
    return RecordedPayment(
        evidence=evidence,
        status="pending" if class_ is Class.INVOICE else "succeeded",
        refunded=_is_refunded(booking, around),
        reference=_reference(booking, around),
        stripe_payment_intent_id=intent_of(booking),
        method=(booking.payment_method or "card").lower(),
        paid_at=booking.payment_date or booking.created_at or around.fallback_time,
        inferred_fields=[field for field, is_inferred in inferred.items() if is_inferred],
    )


def _reference(booking: BookingSnapshot, around: Circumstances) -> str:
    """The document's reference; unique also where the bookings' own are not."""
    if booking.booking_reference is None:
        return f"MIGRATED-{booking.booking_id}"
    suffix = f"-{booking.booking_id}" if around.ambiguous_reference else ""
    return f"MIGRATED-{booking.booking_reference}{suffix}"


def _doubts(booking: BookingSnapshot, around: Circumstances, class_: Class) -> list[Review]:
    status = _word(booking.status)
    is_told_unpaid = _word(around.payment_status) in _NOT_PAID
    is_unsure = status in _UNSURE_WORDS or _word(booking.payment_method) == "invoice" or is_told_unpaid
    found = {
        Review.STATUS_PROVES_LITTLE: class_ is Class.STATUS_ONLY and is_unsure,
        Review.PAID_THEN_CANCELLED: status in {"cancelled", "canceled"} and not _is_refunded(booking, around),
        Review.REFUND_AMOUNT_ASSUMED: _is_refunded(booking, around),
        Review.INTENT_NOT_PAID: class_ is Class.STRIPE and _may_be_abandoned(booking, around),
    }
    return [review for review, applies in found.items() if applies]


def _may_be_abandoned(booking: BookingSnapshot, around: Circumstances) -> bool:
    """An intent is made when a checkout begins. It counts, by the reference; but nothing else here says money came."""
    is_told = _word(around.payment_status) in {"paid", "refunded"}
    return _word(booking.status) == "pending" and booking.payment_date is None and not is_told


def _is_refunded(booking: BookingSnapshot, around: Circumstances) -> bool:
    return "refunded" in {_word(booking.status), _word(around.payment_status)}


def _word(value: str | None) -> str:
    return (value or "").strip().casefold()
