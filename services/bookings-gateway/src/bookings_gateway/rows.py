"""What the read model keeps of an event: one row of its table. Pure."""

import json
from decimal import Decimal
from typing import Any

from bookings_gateway.search_text import name_words, sort_key, words
from shared import contracts
from shared.contracts import BookingContact, BookingSnapshot, PaymentSnapshot, UserSnapshot, UserTotalsSnapshot
from shared.events import Event

Row = dict[str, Any]

_PAYMENT = {
    *("payment_id", "booking_id", "status", "currency", "amount", "received", "refunded", "disputed", "method"),
    *("open_disputes", "card_brand", "card_last4", "stripe_payment_intent_id", "stripe_charge_id", "created_at"),
    "migrated",
}
_NOTHING = dict.fromkeys(["booking_reference", "final_amount", "payment_date", "payment_method", "payment_reference"])


def snapshot_row(event: Event) -> Row:
    """A snapshot all of which is kept."""
    row: Row = contracts.read(event).model_dump()
    return row


def user_row(event: Event) -> Row:
    """A person, with what they are sorted and found by."""
    user: UserSnapshot = contracts.read(event)
    names = (user.first_name, user.last_name, user.company_name)
    return {
        **user.model_dump(),
        "name_key": sort_key(user.first_name, user.last_name),
        "first_key": sort_key(user.first_name),
        "last_key": sort_key(user.last_name, user.first_name) if sort_key(user.last_name) else "",
        "phone_key": sort_key(user.phone),
        "company_key": sort_key(user.company_name),
        "words": words(texts=[*names, user.email], phones=[user.phone]),
        "name_words": name_words(*names),
    }


def totals_row(event: Event, currency: str) -> Row:
    """Keep the sums of the business's own currency beside all of them."""
    totals: UserTotalsSnapshot = contracts.read(event)
    own = next((sums for sums in totals.currencies if sums.currency == currency), None)
    return {
        **totals.model_dump(exclude={"currencies"}),
        "total_spent": own.total_spent if own else Decimal(0),
        "total_paid": own.total_paid if own else Decimal(0),
        "total_refunded": own.total_refunded if own else Decimal(0),
        "currencies": json.dumps([sums.model_dump(mode="json") for sums in totals.currencies]),
    }


def booking_row(event: Event) -> Row:
    """A booking and who made it; of a deleted one, that it is deleted."""
    booking: BookingSnapshot = contracts.read(event)
    deleted = event.type == "booking.deleted"
    contact = BookingContact() if deleted else booking.contact
    names = (contact.first_name, contact.last_name, contact.company)
    reference = None if deleted else booking.booking_reference
    return {
        **booking.model_dump(exclude={"contact", "imported"}),
        **contact.model_dump(),
        **(_NOTHING if deleted else {}),
        "deleted": deleted,
        "words": words(texts=[*names, contact.email, reference], phones=[contact.phone]),
        "name_words": name_words(*names),
    }


def payment_row(event: Event) -> Row:
    payment: PaymentSnapshot = contracts.read(event)
    net = payment.received - payment.refunded - payment.disputed if payment.net is None else payment.net
    return {
        **payment.model_dump(include=_PAYMENT),
        "net": net,
        "inferred_fields": json.dumps(payment.inferred_fields),
        "reference": payment.reference
        or payment.stripe_payment_intent_id
        or payment.stripe_charge_id
        or payment.payment_id,
        "paid_at": payment.paid_at or payment.created_at,
    }
