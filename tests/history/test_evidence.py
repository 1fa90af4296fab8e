"""What proves a payment: every line of the table, and what a person is asked to look at."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from bookings_gateway.history.evidence import Circumstances, weigh
from shared.contracts import BookingContact, BookingSnapshot

MADE = datetime(2024, 1, 2, tzinfo=UTC)
PAID = datetime(2024, 2, 3, tzinfo=UTC)


def booking(**fields: Any) -> BookingSnapshot:
    base = {"booking_id": "b1", "booking_reference": "REF", "currency": "GBP", "created_at": MADE, "status": "PENDING"}
    return BookingSnapshot(**{**base, "contact": BookingContact(), "final_amount": Decimal("67.50"), **fields})


def around(**fields: Any) -> Circumstances:
    return Circumstances(fallback_time=MADE, **fields)


PI = {"payment_reference": "pi_1"}
LINES: list[tuple[dict[str, Any], dict[str, Any], str, str | None, list[str]]] = [
    ({"status": "CONFIRMED", "payment_date": PAID, **PI}, {}, "stripe", "succeeded", []),
    (PI, {"payment_status": "paid"}, "stripe", "succeeded", []),
    (PI, {"payment_status": "pending"}, "none", None, ["intent_not_paid"]),
    (PI, {}, "stripe", "succeeded", ["intent_not_paid"]),
    ({"payment_date": PAID, **PI}, {}, "stripe", "succeeded", []),
    ({"status": "on hold", **PI}, {}, "stripe", "succeeded", []),
    ({"status": "payment_failed", **PI}, {}, "none", None, ["intent_not_paid"]),
    ({"payment_date": PAID}, {}, "recorded", "succeeded", []),
    ({"payment_reference": "BACS 7"}, {}, "recorded", "succeeded", []),
    ({}, {"payment_status": "paid"}, "recorded", "succeeded", []),
    ({"status": "PAID"}, {}, "status_only", "succeeded", []),
    ({"status": "paid"}, {}, "status_only", "succeeded", []),
    ({"status": "COMPLETED"}, {}, "status_only", "succeeded", ["status_proves_little"]),
    ({"status": "ATTENDED"}, {}, "status_only", "succeeded", ["status_proves_little"]),
    ({"status": "PAID", "payment_method": "INVOICE"}, {}, "status_only", "succeeded", ["status_proves_little"]),
    ({"status": "CANCELLED", "payment_date": PAID}, {}, "recorded", "succeeded", ["paid_then_cancelled"]),
    ({"status": "CANCELLED", **PI}, {}, "stripe", "succeeded", ["paid_then_cancelled"]),
    ({"status": "CANCELLED"}, {}, "none", None, []),
    ({"status": "refunded", **PI}, {}, "stripe", "succeeded", ["refund_amount_assumed"]),
    ({"status": "CONFIRMED"}, {"payment_status": "refunded"}, "recorded", "succeeded", ["refund_amount_assumed"]),
    ({"status": "CONFIRMED", "payment_method": "INVOICE"}, {}, "invoice", "pending", []),
    ({"status": "CONFIRMED", "payment_method": "INVOICE", "payment_date": PAID}, {}, "recorded", "succeeded", []),
    ({"status": "CONFIRMED"}, {}, "none", None, []),
    ({"status": "something else"}, {}, "none", None, []),
    ({"status": "PAID", "final_amount": Decimal(0)}, {}, "free", None, []),
    ({"status": "PAID", "final_amount": None}, {}, "review", None, ["amount_unusable"]),
    ({"status": "PAID", "final_amount": Decimal("-5")}, {}, "review", None, ["amount_unusable"]),
    ({"status": "PAID", "final_amount": Decimal("67.505")}, {}, "review", None, ["amount_unusable"]),
    ({"status": "PAID", **PI}, {"shared_intent": True}, "review", None, ["intent_shared"]),
]


@pytest.mark.parametrize(("fields", "circumstances", "class_", "status", "reviews"), LINES)
def test_evidence_decides(
    fields: dict[str, Any], circumstances: dict[str, Any], class_: str, status: str | None, reviews: list[str]
) -> None:
    finding = weigh(booking(**fields), around(**circumstances))

    assert (finding.class_, finding.payment and finding.payment.status) == (class_, status)
    assert list(finding.reviews) == reviews


def test_what_is_filled_in_is_named() -> None:
    payment = weigh(booking(status="PAID"), around()).payment

    assert payment is not None
    assert (payment.method, payment.paid_at, payment.reference) == ("card", MADE, "MIGRATED-REF")
    assert payment.inferred_fields == ("paid_at", "method", "status")


@pytest.mark.parametrize(
    ("reference", "others", "expected"),
    [("REF", 0, "MIGRATED-REF"), ("REF", 1, "MIGRATED-REF-b1"), (None, 0, "MIGRATED-b1")],
)
def test_the_reference_is_unique_whatever_the_rows_have(reference: str | None, others: int, expected: str) -> None:
    payment = weigh(booking(status="PAID", booking_reference=reference), around(ambiguous_reference=others > 0)).payment

    assert payment is not None
    assert payment.reference == expected
    assert ("reference" in payment.inferred_fields) is (expected != "MIGRATED-REF")
