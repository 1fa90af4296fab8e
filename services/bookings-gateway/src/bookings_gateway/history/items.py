"""From a row of the legacy table to what becomes of it: a pure function, the same for a dry run and the import."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from bookings_gateway.domain import Layout, booking_snapshot, contact_object, payment_status, read_row
from bookings_gateway.history.contacts import Contact, contact_kind
from bookings_gateway.history.evidence import Circumstances, Class, Finding, intent_of, weigh
from shared.contracts import BookingSnapshot
from shared.emails import normalise_email

# What the consumers' keys can hold; a longer one would fail there again and again.
_LONGEST_ID = 200
_LONGEST_TEXT = 500
# What reading a row of any kind may raise.
_UNREADABLE = (LookupError, ValueError, ArithmeticError, TypeError, RecursionError)
# Clocks differ, and times without a zone by up to fourteen hours.
_FUTURE = timedelta(days=1)
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row as read. ``correction`` is what the error desk said instead of some of its columns."""

    booking_id: str
    text: str
    sha256: bytes
    correction: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What reading depends on besides the row. ``now`` is the run's beginning, so that a resumed run reads alike.

    ``intent_owners``: of PaymentIntents that several bookings stored, the booking that goes first.
    ``ambiguous_references``: those several bookings have.
    """

    layout: Layout
    currency: str
    zone: tzinfo
    now: datetime
    contact_is_text: bool = False
    intent_owners: Mapping[str, str] = field(default_factory=dict)
    ambiguous_references: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What becomes of one booking. Without ``snapshot`` it is set aside, for the reason ``code``.

    ``person``: of one that is set aside, a digest of the address, to find it when that person is erased.
    """

    booking_id: str
    sha256: bytes
    contact: str
    status: str | None = None
    class_: str = Class.NONE
    amount: Decimal | None = None
    refunded: bool = False
    currency: str
    month: date | None = None
    reviews: tuple[str, ...] = ()
    identity: str | None = None
    snapshot: BookingSnapshot | None = None
    time: datetime | None = None
    code: str | None = None
    detail: str | None = None
    person: bytes | None = None

    @property
    def outcome(self) -> str:
        return "set_aside" if self.snapshot is None else "published"


class RowRefused(ValueError):
    """No event can be made of this row that its consumers could take."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def item_of(row: SourceRow, setting: Setting) -> Item:
    """Return what becomes of a row; never raises."""
    try:
        return _published(row, setting)
    except RowRefused as refusal:
        return set_aside(row, setting, refusal.code, refusal.detail)
    except _UNREADABLE as error:
        return set_aside(row, setting, "row_unreadable", type(error).__name__)


def set_aside(row: SourceRow, setting: Setting, code: str, detail: str) -> Item:
    """Return the item of a row that is not told to anybody until somebody decides."""
    read = as_read(row, setting)
    return Item(
        booking_id=row.booking_id,
        sha256=row.sha256,
        contact="unread",
        class_=Class.REVIEW,
        currency=setting.currency,
        person=_person(read) if read else None,
        time=_booked(read, setting) if read else None,
        code=code,
        detail=detail,
    )


def as_read(row: SourceRow, setting: Setting) -> BookingSnapshot | None:
    """Return what a row says, as a change of it would be told live; ``None`` where it cannot be read at all."""
    try:
        raw = {**read_row(row.text), **(row.correction or {})}
        return booking_snapshot(raw, setting.layout, currency=setting.currency, zone=setting.zone)
    except _UNREADABLE:
        return None


def _person(read: BookingSnapshot) -> bytes | None:
    address = normalise_email(read.contact.email)
    return hashlib.sha256(address.encode()).digest() if address else None


def _booked(read: BookingSnapshot, setting: Setting) -> datetime | None:
    return read.created_at if read.created_at and read.created_at <= setting.now else None


def _published(row: SourceRow, setting: Setting) -> Item:
    raw = {**read_row(row.text), **(row.correction or {})}
    read = _with_usable_dates(
        booking_snapshot(raw, setting.layout, currency=setting.currency, zone=setting.zone), setting
    )
    _require_sendable(read, setting)
    time = read.created_at or read.payment_date or read.updated_at or setting.now
    around = Circumstances(
        fallback_time=time,
        payment_status=payment_status(raw, setting.layout),
        shared_intent=setting.intent_owners.get(intent_of(read) or "", read.booking_id) != read.booking_id,
        unusable_date=read.payment_date is None and raw.get(setting.layout.payment_date or "") is not None,
        ambiguous_reference=read.booking_reference in setting.ambiguous_references,
    )
    finding = weigh(read, around)
    snapshot = read.model_copy(update={"imported": True, "recorded_payment": finding.payment})
    return Item(
        booking_id=read.booking_id,
        sha256=row.sha256,
        contact=_contact(raw, read, setting),
        status=read.status,
        class_=finding.class_,
        amount=read.final_amount,
        refunded=bool(finding.payment and finding.payment.refunded),
        currency=setting.currency,
        month=_month(finding, setting.zone),
        reviews=tuple(finding.reviews),
        identity=normalise_email(read.contact.email),
        snapshot=snapshot,
        time=time,
    )


def _with_usable_dates(read: BookingSnapshot, setting: Setting) -> BookingSnapshot:
    """Nobody has paid, or changed a row, at a time yet to come, nor in the year 1, which stands for none: no dates."""
    dates = {"payment_date": read.payment_date, "updated_at": read.updated_at}
    unusable = [name for name, date in dates.items() if date and not _EARLIEST < date < setting.now + _FUTURE]
    return read.model_copy(update=dict.fromkeys(unusable)) if unusable else read


def _contact(raw: Mapping[str, Any], read: BookingSnapshot, setting: Setting) -> Contact:
    layout = setting.layout
    stored = raw.get(layout.contact) if layout.contact else None
    return contact_kind(stored, read.contact.email, contact_object(raw, layout), is_text=setting.contact_is_text)


def _month(finding: Finding, zone: tzinfo) -> date | None:
    """The month, in the business's own time, a payment counts to."""
    if finding.payment is None:
        return None
    return finding.payment.paid_at.astimezone(zone).date().replace(day=1)


def _require_sendable(read: BookingSnapshot, setting: Setting) -> None:
    """Refuse what would only fail later, in somebody else's dead letters."""
    if not 1 <= len(read.booking_id) <= _LONGEST_ID:
        raise RowRefused("id_unusable", "the id is empty or longer than an event's subject may be")
    if len(read.booking_reference or "") > _LONGEST_ID or len(read.payment_reference or "") > _LONGEST_TEXT:
        raise RowRefused("reference_too_long", "a reference is longer than any can be")
    if any(len(value) > _LONGEST_TEXT for value in read.contact.model_dump().values() if value):
        raise RowRefused("contact_too_long", f"a contact field has more than {_LONGEST_TEXT} characters")
    if read.created_at and read.created_at > setting.now + _FUTURE:
        raise RowRefused("created_in_future", f"createdAt is {read.created_at.date()}")
