"""``booking.*``, published by the bookings gateway. Subject: the booking's id."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from shared.contracts.base import Snapshot, register

Amount = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=20, decimal_places=4)]


class BookingContact(Snapshot):
    """Who booked, as the legacy row says it: trimmed strings, nothing else changed. Blank values are null."""

    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    company: str | None = None


class RecordedPayment(Snapshot):
    """What a historical row proves of its payment, of ``final_amount``; only in events of an import.

    ``evidence`` says by what: a stored PaymentIntent, another record of payment, the status word alone, or an invoice
    not paid yet. ``inferred_fields`` names what the row does not say itself.
    """

    evidence: Literal["stripe", "recorded", "status_only", "invoice"]
    status: Literal["succeeded", "pending"]
    refunded: bool = False
    reference: str
    stripe_payment_intent_id: str | None = None
    method: str
    paid_at: AwareDatetime
    inferred_fields: tuple[str, ...] = ()


class BookingSnapshot(Snapshot):
    """A booking. Money is a decimal string in ``currency``; null where the legacy row has none usable.

    ``imported`` says that an import told it: ``booking.created`` of a row that was there before, ``booking.deleted``
    of one whose import was taken back, while the row stays.
    """

    booking_id: str
    booking_reference: str | None = None
    status: str | None = None
    contact: BookingContact
    final_amount: Amount | None = None
    currency: str
    payment_date: AwareDatetime | None = None
    payment_method: str | None = None
    payment_reference: str | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    imported: bool = False
    recorded_payment: RecordedPayment | None = None


register(BookingSnapshot, "booking.created", "booking.updated", "booking.deleted")
