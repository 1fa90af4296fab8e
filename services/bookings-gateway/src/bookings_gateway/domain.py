"""What a legacy row means. Pure: no database, no web, no broker.

The legacy table holds several generations of data at once. Everything here is total: a row of any kind gives a
snapshot, what is unusable in it becomes ``None``.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

from shared.contracts import BookingContact, BookingSnapshot


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column of the legacy table holds what."""

    id: str = "id"
    reference: str = "bookingReference"
    status: str = "status"
    contact: str = "contactDetails"
    final_amount: str = "finalAmount"
    payment_date: str = "paymentDate"
    payment_method: str = "paymentMethod"
    payment_reference: str = "paymentReference"
    created_at: str = "createdAt"
    updated_at: str = "updatedAt"

    @property
    def columns(self) -> list[str]:
        """Every column the layout needs, in the order of its fields."""
        return [getattr(self, name) for name in self.__slots__]


DEFAULT_LAYOUT = Layout()

# Neither PostgreSQL's text nor UTF-8 can hold these; JSON inside JSON can smuggle them in.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# What an amount of the contract holds: 20 digits, 4 of them decimals.
_MOST_WHOLE_DIGITS = 16
_MOST_DECIMALS = 4


def read_row(text: str) -> Mapping[str, Any]:
    """Read a captured row; numbers stay exact. Raises ``ValueError`` or ``RecursionError``."""
    row: Mapping[str, Any] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return row


def booking_snapshot(row: Mapping[str, Any], layout: Layout, *, currency: str, zone: tzinfo) -> BookingSnapshot:
    """Return what other services may know of a legacy row: the contract's fields and nothing else.

    ``row`` is the row as :func:`read_row` gives it; ``zone`` is that of its times without one. Any value in any column
    is survived. Participants, notes and invoice details never leave.
    """
    return BookingSnapshot(
        booking_id=str(row[layout.id]),
        booking_reference=_text(row.get(layout.reference)),
        status=_verbatim(row.get(layout.status)),
        contact=read_contact(row.get(layout.contact)),
        final_amount=_amount(row.get(layout.final_amount)),
        currency=currency,
        payment_date=_time(row.get(layout.payment_date), zone),
        payment_method=_text(row.get(layout.payment_method)),
        payment_reference=_text(row.get(layout.payment_reference)),
        created_at=_time(row.get(layout.created_at), zone),
        updated_at=_time(row.get(layout.updated_at), zone),
    )


def read_contact(value: object) -> BookingContact:
    """Read who booked out of any kind of contact seen: object, null, array, blank, or JSON inside a string.

    One ``name`` instead of two is divided before its last word, so that both together read the same.
    """
    contact = _object(value)
    first, last = _text(contact.get("firstName")), _text(contact.get("lastName"))
    if first is None and last is None:
        first, last = _divide(_text(contact.get("name")))
    return BookingContact(
        first_name=first,
        last_name=last,
        email=_text(contact.get("email")),
        phone=_text(contact.get("phone")),
        company=_text(contact.get("company")),
    )


def contact_object(row: Mapping[str, Any], layout: Layout) -> Mapping[str, Any]:
    """Return the contact's own object, be it encoded twice; empty where there is none."""
    return _object(row.get(layout.contact))


def payment_status(row: Mapping[str, Any], layout: Layout) -> str | None:
    """Return the layout's own word for whether a booking is paid, where it has one."""
    column = getattr(layout, "payment_status", None)
    return _text(row.get(column)) if column else None


def _object(value: object) -> Mapping[str, Any]:
    """Return the object in ``value``, be it encoded once more; anything else is an empty one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _divide(name: str | None) -> tuple[str | None, str | None]:
    if name is None:
        return None, None
    first, _, last = name.rpartition(" ")
    return (first.rstrip(), last) if first else (name, None)


def _verbatim(value: object) -> str | None:
    return _UNSTORABLE.sub("", value) if isinstance(value, str) else None


def _text(value: object) -> str | None:
    """Trimmed text, or the digits of a number where a string was meant; blank is nothing."""
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        value = str(value)
    return (_verbatim(value) or "").strip() or None


def _amount(value: object) -> Decimal | None:
    if not isinstance(value, str | Decimal):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return _representable(amount) if amount.is_finite() else None


def _representable(amount: Decimal) -> Decimal | None:
    """The amount as the contract can carry it; ``None`` where it could only be rounded: that would be inventing money.

    On the digits themselves: arithmetic would round to the context's precision.
    """
    sign, digits, exponent = amount.as_tuple()
    decimals = -int(exponent)
    while decimals > _MOST_DECIMALS and digits[-1:] == (0,):
        digits, decimals = digits[:-1] or (0,), decimals - 1
    if decimals > _MOST_DECIMALS or len(digits) - decimals > _MOST_WHOLE_DIGITS:
        return None
    return Decimal((sign, digits, -decimals))


def _time(value: object, zone: tzinfo) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=zone)
