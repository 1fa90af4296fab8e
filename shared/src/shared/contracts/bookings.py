"""``booking.*``, published by the bookings gateway. Subject: the booking's id."""

from decimal import Decimal
from typing import Annotated

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


class BookingSnapshot(Snapshot):
    """A booking. Money is a decimal string in ``currency``; null where the legacy row has none usable."""

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


register(BookingSnapshot, "booking.created", "booking.updated", "booking.deleted")
