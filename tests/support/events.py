"""Builders of events as other services would send them."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from shared.contracts import contract_of
from shared.events import Event

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_NAMESPACE = UUID("5a1f9a7e-0000-4000-8000-000000000000")


def event(type_: str, subject: str, sequence: int, data: dict[str, Any], *, source: str = "/tests") -> Event:
    """Return an event whose id follows from type, subject and sequence, so that a repetition is a duplicate."""
    return Event(
        id=uuid5(_NAMESPACE, f"{type_} {subject} {sequence}"),
        source=source,
        type=type_,
        subject=subject,
        sequence=sequence,
        time=EPOCH + timedelta(minutes=sequence),
        dataschema=contract_of(type_).dataschema,
        data=data,
    )


def booking(
    booking_id: str,
    sequence: int = 1,
    *,
    email: str | None = "ann@example.com",
    amount: str | None = "67.50",
    deleted: bool = False,
    **fields: Any,
) -> Event:
    """Return a booking event: created at sequence 1, updated later, deleted when said."""
    kind = "deleted" if deleted else "created" if sequence == 1 else "updated"
    contact = {"first_name": "Ann", "last_name": "Lee", "email": email, **fields.pop("contact", {})}
    data = {
        "booking_id": booking_id,
        "booking_reference": f"REF-{booking_id}",
        "status": "PENDING",
        "contact": contact,
        "final_amount": amount,
        "currency": "GBP",
        "created_at": EPOCH.isoformat(),
        **fields,
    }
    return event(f"booking.{kind}", booking_id, sequence, data, source="/bookings-gateway")


def linked(booking_id: str, user_id: str, sequence: int = 1) -> Event:
    """Return a link of a booking to a user."""
    data = {"booking_id": booking_id, "user_id": user_id}
    return event("user.booking_linked", booking_id, sequence, data, source="/users")


def registered(user_id: str, sequence: int = 1) -> Event:
    """Return a user's registration, or update from sequence 2 on."""
    kind = "registered" if sequence == 1 else "updated"
    data = {"user_id": user_id, "email": "ann@example.com", "created_at": EPOCH.isoformat()}
    return event(f"user.{kind}", user_id, sequence, data, source="/users")


def merged(user_id: str, into: str | None, sequence: int = 1) -> Event:
    """Return a merge of a user into another, or with ``None`` its undoing."""
    kind = "unmerged" if into is None else "merged"
    return event(f"user.{kind}", user_id, sequence, {"user_id": user_id, "merged_into": into}, source="/users")


def erased(user_id: str, sequence: int = 1, *, email: str | None = None) -> Event:
    """Return a user's erasure, with the digest of a normalised address."""
    digests = [hashlib.sha256(email.encode()).hexdigest()] if email else []
    data = {"user_id": user_id, "erased_at": EPOCH.isoformat(), "address_digests": digests}
    return event("user.erased", user_id, sequence, data, source="/users")


def payment(
    payment_id: str,
    booking_id: str | None,
    sequence: int = 1,
    *,
    received: int = 6750,
    refunded: int = 0,
    disputed: int = 0,
) -> Event:
    """Return a payment that succeeded, refunded or disputed in part when said."""
    data = {
        "payment_id": payment_id,
        "booking_id": booking_id,
        "status": "succeeded",
        "currency": "GBP",
        "amount": received,
        "received": received,
        "refunded": refunded,
        "disputed": disputed,
        "created_at": EPOCH.isoformat(),
    }
    kind = "disputed" if disputed else "refunded" if refunded else "succeeded"
    return event(f"payment.{kind}", payment_id, sequence, data, source="/payments")
