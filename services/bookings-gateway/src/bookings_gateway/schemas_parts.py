"""HTTP bodies of what other services answer for: notes, communications, activity, merges, refunds, timelines."""

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AliasChoices, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bookings_gateway.schemas_admin import (
    BookingItem,
    Currency,
    Given,
    Instant,
    Moment,
    MoneyGiven,
    PaymentItem,
    Prose,
    Shown,
    Totals,
    UserItem,
    Word,
)


class NoteKind(StrEnum):
    """What a note is about."""

    GENERAL = "general"
    COMPLAINT = "complaint"
    COMPLIMENT = "compliment"
    SPECIAL_REQUIREMENT = "special_requirement"


class Channel(StrEnum):
    """How people spoke."""

    EMAIL = "email"
    PHONE = "phone"
    SMS = "sms"
    LETTER = "letter"
    IN_PERSON = "in_person"
    OTHER = "other"


class Direction(StrEnum):
    """Who began."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        extra="forbid",
        json_schema_extra={"examples": list(examples)},
    )


class NewNote(Given):
    """A note about a user."""

    model_config = _examples({"kind": "complaint", "text": "Waited for 20 minutes.", "internal": True})

    kind: NoteKind = NoteKind.GENERAL
    text: Prose
    internal: bool = True


class Note(Shown):
    """A note; ``userId`` is whom it was written about, before merges."""

    id: UUID
    user_id: UUID
    kind: str
    text: str
    internal: bool
    author: str
    created_at: Instant


class NewCommunication(Given):
    """Something said or written to a user, or by them."""

    model_config = _examples(
        {"channel": "email", "direction": "outbound", "subject": "Your booking", "body": "See you on Monday."}
    )

    channel: Channel
    direction: Direction
    subject: Word | None = None
    body: Prose | None = None
    status: Word | None = None
    booking_id: Word | None = None


class Communication(Shown):
    """Something said or written; ``userId`` is with whom, before merges."""

    id: UUID
    user_id: UUID
    channel: str
    direction: str
    subject: str | None
    body: str | None
    status: str | None
    booking_id: str | None
    author: str
    created_at: Instant


class Activity(Shown):
    """One thing that happened; ``userId`` is to whom, before merges."""

    event_id: UUID
    user_id: UUID
    kind: str
    time: Instant
    booking_id: str | None
    payment_id: str | None
    amount: str | None
    currency: str | None


class NotesOfUsers(Shown):
    items: list[Note]
    next: str | None = None


class CommunicationsOfUsers(Shown):
    items: list[Communication]
    next: str | None = None


class ActivityOfStats(Shown):
    items: list[Activity]
    next: str | None = None


class NotePage(Shown):
    """Newest first; ``next`` is the cursor of the following page."""

    data: list[Note]
    next: str | None


class CommunicationPage(Shown):
    """Newest first; ``next`` is the cursor of the following page."""

    data: list[Communication]
    next: str | None


class ActivityPage(Shown):
    """Newest first; ``next`` is the cursor of the following page."""

    data: list[Activity]
    next: str | None


class Variant(Shown):
    """Contact data as bookings had it; ``userId`` is whose, before merges."""

    user_id: UUID
    first_name: str | None
    last_name: str | None
    email_written: str | None
    phone: str | None
    company: str | None
    first_seen_at: Instant
    last_seen_at: Instant


class Identity(Shown):
    """What the users service knows beyond the list: addresses, and the ways the user was written."""

    sequence: int
    emails: list[str]
    variants: list[Variant]


class Parts(Shown):
    """The newest few of each part, and how many there are where that is known."""

    bookings: list[BookingItem]
    total_bookings: int
    payments: list[PaymentItem]
    total_payments: int
    notes: list[Note] | None
    communications: list[Communication] | None
    activity: list[Activity] | None


class UserDetail(UserItem):
    """A user with the newest of all parts. A part whose service is away is null, and named in ``unavailable``.

    A merged user says where it went (``mergedInto``); its parts are those of whom it counts as.
    """

    totals: list[Totals]
    merged_into: UUID | None
    merged_from: list[UUID]
    erased_at: Instant | None
    emails: list[str] | None
    variants: list[Variant] | None
    parts: Parts
    unavailable: list[str]


class UserChange(Given):
    """Corrections by staff: they win over what bookings say, until cleared with null."""

    model_config = _examples({"firstName": "Ann", "phone": "+44 7700 900123"})

    first_name: Word | None = None
    last_name: Word | None = None
    phone: Word | None = None
    company_name: Word | None = None


class ChangedUser(Shown):
    """The user as the users service has it now; the lists follow in a moment."""

    id: Annotated[UUID, Field(validation_alias=AliasChoices("user_id", "id"))]
    email: str | None
    first_name: str | None
    last_name: str | None
    phone: str | None
    company_name: str | None
    merged_into: UUID | None
    sequence: int


class MergeOrder(Given):
    """Whom the user is to count as from now on."""

    model_config = _examples({"into": "00000000-0000-4000-8000-00000000000b", "reason": "Two addresses, one person"})

    into: UUID
    reason: Word


class UnmergeOrder(Given):
    """Why a merge is taken back."""

    model_config = _examples({"reason": "Father and son"})

    reason: Word


class EraseOrder(Given):
    """``confirm`` repeats the user's e-mail or id."""

    model_config = _examples({"reason": "Asked for by the person", "confirm": "ann@example.com"})

    reason: Word
    confirm: Word


class FieldPreview(Shown):
    """``kept`` shows after the merge; ``merged`` stays with the merged user."""

    field: str
    kept: Any
    merged: Any
    differs: bool


class PreviewOfUsers(Shown):
    user_id: UUID
    into: UUID
    fields: list[FieldPreview]
    moves: dict[str, int]


class MergePreview(PreviewOfUsers):
    """What a merge would change: fields, how many of what would show elsewhere, and the sums that would come along."""

    totals: list[Totals]


class ErasePreview(Shown):
    """Whom an erasure would take, everybody who counts as the same person, and how much with them."""

    users: list[UUID]
    emails: list[str]
    counts: dict[str, int]


class Erased(Shown):
    """Who was erased: everybody who counted as the same person."""

    users: list[UUID]


class Dismissal(Given):
    """Two users who are two people."""

    model_config = _examples(
        {"users": ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"]}
    )

    users: Annotated[set[UUID], Field(min_length=2, max_length=2)]


class DuplicateUser(Shown):
    """One of two who may be one person."""

    id: Annotated[UUID, Field(validation_alias=AliasChoices("user_id", "id"))]
    email: str | None
    first_name: str | None
    last_name: str | None
    phone: str | None
    company_name: str | None
    created_at: Instant


class Duplicate(Shown):
    """Two users who may be one person, and why: the higher the score, the likelier."""

    users: list[DuplicateUser]
    reasons: list[str]
    score: int


class DuplicatesOfUsers(Shown):
    items: list[Duplicate]
    next: str | None


class DuplicatePage(Shown):
    """Pairs who may be one person, likeliest first. Nothing is merged by itself."""

    data: list[Duplicate]
    next: str | None


class RefundOrder(Given):
    """How much of a payment is given back, in the payment's currency."""

    model_config = _examples({"amount": "20.00", "reason": "requested_by_customer"})

    amount: MoneyGiven
    reason: Word | None = None


class Refund(Shown):
    """A refund asked for; a ``pending`` one is sent to Stripe again until it answers."""

    id: UUID
    payment_id: UUID
    state: Literal["pending", "accepted", "refused"]
    amount: str
    currency: str
    reason: str | None
    requested_by: str
    requested_at: Instant
    stripe_refund_id: str | None


class ManualPayment(Given):
    """A payment that came by cash, bank transfer or invoice. ``booking`` is a booking's id or reference."""

    model_config = _examples(
        {
            "method": "bank_transfer",
            "amount": "67.50",
            "currency": "GBP",
            "paidAt": "2026-03-01T10:00:00.000Z",
            "booking": "BK-2026-0042",
            "reference": "statement 12, line 4",
        }
    )

    method: Literal["cash", "bank_transfer", "invoice"]
    amount: MoneyGiven
    currency: Currency
    paid_at: Moment
    booking: Word
    reference: Word | None = None


class TimelineItem(Shown):
    """Something that happened to a payment: ``kind`` says what ``facts`` holds."""

    time: Instant
    kind: str
    facts: dict[str, Any]


class RemotePayment(Shown):
    """A payment as the payments service answers it: of its fields, the id is needed here."""

    id: UUID


class DetailOfPayments(Shown):
    payment: RemotePayment
    timeline: list[TimelineItem]


class PaymentDetail(PaymentItem):
    """A payment and what happened to it, oldest first; null while the payments service is away."""

    timeline: list[TimelineItem] | None
    unavailable: list[str]


class RecordedPayment(Shown):
    """A payment just recorded; the lists follow in a moment."""

    id: UUID
    timeline: list[TimelineItem]
