"""What a legacy row means. Pure: no database, no web, no broker.

The legacy table holds several generations of data at once. Everything here is total: a row of any kind gives a
snapshot, what is unusable in it becomes ``None``.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

from shared.contracts import BookingContact, BookingSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which column of the legacy table holds what; ``None`` where it has no such column.

    The contact is one column of JSON (an object, be it inside a string), columns of its own, or both: what the JSON
    does not say is then taken from the columns. Whatever column is named must be there.
    """

    id: str = "id"
    reference: str | None = "bookingReference"
    status: str = "status"
    contact: str | None = "contactDetails"
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    company: str | None = None
    final_amount: str | None = "finalAmount"
    payment_date: str | None = "paymentDate"
    payment_method: str | None = "paymentMethod"
    payment_reference: str | None = "paymentReference"
    payment_status: str | None = None
    created_at: str = "createdAt"
    updated_at: str | None = "updatedAt"
    user_id: str = "user_id"  # ours: added by the gateway
    paid_status: str = "PAID"  # a word, not a column: what ``status`` of a paid booking says
    personal: tuple[str, ...] = ()  # further columns that tell of people, beside those known (personal.py)
    harmless: tuple[str, ...] = ()  # columns that do not, whatever they are called

    @property
    def columns(self) -> dict[str, str]:
        """Field → column, of every column the table must have."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name not in _NO_COLUMN}
        return {name: column for name, column in fields.items() if column is not None}

    @property
    def reading(self) -> dict[str, str | None]:
        """Field → what decides how a row is read and written."""
        return {name: getattr(self, name) for name in self.__slots__ if name not in {"personal", "harmless"}}

    @property
    def contact_columns(self) -> dict[str, str]:
        """Key of a contact → the column that holds it on its own."""
        named = {key: getattr(self, field) for key, field in CONTACT_FIELDS.items()}
        return {key: column for key, column in named.items() if column is not None}


_NO_COLUMN = frozenset(["user_id", "paid_status", "personal", "harmless"])  # of the table as the gateway finds it
# Key in the contact's JSON → field of the layout.
CONTACT_FIELDS = {
    "name": "name",
    "firstName": "first_name",
    "lastName": "last_name",
    "email": "email",
    "phone": "phone",
    "company": "company",
}
DEFAULT_LAYOUT = Layout()

# Neither PostgreSQL's text nor UTF-8 can hold these; JSON inside JSON can smuggle them in.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# What an amount of the contract holds: 20 digits, 4 of them decimals.
_MOST_WHOLE_DIGITS = 16
_MOST_DECIMALS = 4
_MOST_ENCODINGS = 2
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal)  # making one costs as much as reading a row


def read_row(text: str) -> Mapping[str, Any]:
    """Read a captured row; numbers stay exact. Raises ``ValueError`` or ``RecursionError``."""
    row: Mapping[str, Any] = _DECODER.decode(text)
    return row


def booking_snapshot(row: Mapping[str, Any], layout: Layout, *, currency: str, zone: tzinfo) -> BookingSnapshot:
    """Return what other services may know of a legacy row: the contract's fields and nothing else.

    ``row`` is the row as :func:`read_row` gives it; ``zone`` is that of its times without one. Any value in any column
    is survived. Participants, notes and invoice details never leave.
    """

    def of(column: str | None) -> object:
        return row.get(column) if column is not None else None

    return BookingSnapshot(
        booking_id=str(row[layout.id]),
        booking_reference=_text(of(layout.reference)),
        status=_verbatim(of(layout.status)),
        contact=read_contact(row, layout),
        final_amount=_amount(of(layout.final_amount)),
        currency=currency,
        payment_date=read_time(of(layout.payment_date), zone),
        payment_method=_text(of(layout.payment_method)),
        payment_reference=_text(of(layout.payment_reference)),
        created_at=read_time(of(layout.created_at), zone),
        updated_at=read_time(of(layout.updated_at), zone),
    )


def read_contact(row: Mapping[str, Any], layout: Layout) -> BookingContact:
    """Read who booked out of any kind of contact seen: object, null, array, blank, JSON inside a string, columns.

    One ``name`` instead of two is divided before its last word, so that both together read the same.
    """
    said = _object(row.get(layout.contact)) if layout.contact is not None else {}
    contact = {key: _text(said.get(key)) for key in CONTACT_FIELDS}
    for key, column in layout.contact_columns.items():
        contact[key] = contact[key] or _text(row.get(column))
    first, last = contact["firstName"], contact["lastName"]
    if first is None and last is None:
        first, last = _divide(contact["name"])
    return BookingContact(
        first_name=first,
        last_name=last,
        email=contact["email"],
        phone=contact["phone"],
        company=contact["company"],
    )


def contact_object(row: Mapping[str, Any], layout: Layout) -> Mapping[str, Any]:
    """Return the contact's own object, be it encoded twice; empty where there is none."""
    return _object(row.get(layout.contact)) if layout.contact is not None else {}


def payment_status(row: Mapping[str, Any], layout: Layout) -> str | None:
    """Return the layout's own word for whether a booking is paid, where it has one."""
    return _text(row.get(layout.payment_status)) if layout.payment_status is not None else None


def _object(value: object) -> Mapping[str, Any]:
    """Return the object in ``value``, be it text that holds JSON, or that encoded once more; else an empty one."""
    for _ in range(_MOST_ENCODINGS):
        if not isinstance(value, str):
            break
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


def read_time(value: object, zone: tzinfo) -> datetime | None:
    """A time that has no date in UTC or in the business's own zone, as some of the years 1 and 9999, is unusable."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        time = time if time.tzinfo else time.replace(tzinfo=zone)
        time.astimezone(UTC).astimezone(zone)
    except (ValueError, OverflowError):
        return None
    return time
