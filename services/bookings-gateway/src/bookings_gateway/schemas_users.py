"""HTTP bodies of one user: the detail with all parts, corrections, merges, erasure, duplicates."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AliasChoices, Field

from bookings_gateway.schemas_admin import (
    BookingItem,
    Given,
    Instant,
    PaymentItem,
    Shown,
    Totals,
    UserItem,
    Word,
    examples,
)
from bookings_gateway.schemas_records import Activity, Communication, CursorPage, Note


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

    model_config = examples({"firstName": "Ann", "phone": "+44 7700 900123"})

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

    model_config = examples({"into": "00000000-0000-4000-8000-00000000000b", "reason": "Two addresses, one person"})

    into: UUID
    reason: Word


class UnmergeOrder(Given):
    """Why a merge is taken back."""

    model_config = examples({"reason": "Father and son"})

    reason: Word


class EraseOrder(Given):
    """``confirm`` repeats the user's e-mail or id.

    Of the reason one of ``requested``, ``court_order``, ``retention_ended`` is kept; any other text as ``other``.
    """

    model_config = examples({"reason": "requested", "confirm": "ann@example.com"})

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

    model_config = examples({"users": ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"]})

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


class DuplicatePage(CursorPage[Duplicate]):
    """Pairs who may be one person, likeliest first. Nothing is merged by itself."""
