"""HTTP bodies of the internal API."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Word = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000, pattern=r"^[^\x00]*$")]

ANN = "0190a000-0000-7000-8000-00000000000a"
ANNE = "0190a000-0000-7000-8000-00000000000b"


def _config(**example: Any) -> ConfigDict:  # noqa: ANN401
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


class NoteKind(StrEnum):
    """What a note is."""

    GENERAL = "general"
    COMPLAINT = "complaint"
    COMPLIMENT = "compliment"
    SPECIAL_REQUIREMENT = "special_requirement"


class Channel(StrEnum):
    """How a communication went."""

    EMAIL = "email"
    PHONE = "phone"
    SMS = "sms"
    LETTER = "letter"
    IN_PERSON = "in_person"
    OTHER = "other"


class Direction(StrEnum):
    """Who spoke to whom."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CorrectionBody(BaseModel):
    """What is right about a person. A field left out stays as it is; null clears its correction."""

    model_config = _config(last_name="Lee", phone=None, by="office")

    first_name: Word | None = None
    last_name: Word | None = None
    phone: Word | None = None
    company_name: Word | None = None
    by: Word | None = None
    reason: Word | None = None


class MergeBody(BaseModel):
    """Whom the user counts as from now on, who says so and why."""

    model_config = _config(into=ANN, by="office", reason="same person, by phone")

    into: UUID
    by: Word
    reason: Word | None = None


class UnmergeBody(BaseModel):
    """Who undoes the merge, and why."""

    model_config = _config(by="office", reason="two sisters")

    by: Word
    reason: Word | None = None


class EraseBody(BaseModel):
    """Who erases the person, and why; ``confirm`` repeats the user's id or e-mail address.

    Of the reason one of ``requested``, ``court_order``, ``retention_ended`` is kept; any other text as ``other``.
    """

    model_config = _config(by="office", reason="requested", confirm="ann@example.com")

    by: Word
    reason: Word | None = None
    confirm: Word


class DismissBody(BaseModel):
    """Two users who are two people, and who says so."""

    model_config = _config(users=[ANN, ANNE], by="office")

    users: Annotated[set[UUID], Field(min_length=2, max_length=2)]
    by: Word


class NoteBody(BaseModel):
    """A note. ``internal`` ones are for staff alone."""

    model_config = _config(kind="special_requirement", text="Needs a chair with arms", internal=True, author="office")

    kind: NoteKind = NoteKind.GENERAL
    text: Prose
    internal: bool = True
    author: Word


class CommunicationBody(BaseModel):
    """Something said or written to or by a person."""

    model_config = _config(channel="phone", direction="inbound", subject="Date of the course", author="office")

    channel: Channel
    direction: Direction
    subject: Word | None = None
    body: Prose | None = None
    status: Word | None = None
    booking_id: Word | None = None
    author: Word


class Note(BaseModel):
    """A note as kept. ``user_id`` is whom it was written about, who may count as another user by now."""

    id: UUID
    user_id: UUID
    kind: NoteKind
    text: str
    internal: bool
    author: str
    created_at: datetime


class NotePage(BaseModel):
    """Notes, newest first. ``next`` is the cursor of the following page."""

    items: list[Note]
    next: str | None


class Communication(BaseModel):
    """A communication as kept. ``user_id`` is with whom, who may count as another user by now."""

    id: UUID
    user_id: UUID
    channel: Channel
    direction: Direction
    subject: str | None
    body: str | None
    status: str | None
    booking_id: str | None
    author: str
    created_at: datetime


class CommunicationPage(BaseModel):
    """Communications, newest first. ``next`` is the cursor of the following page."""

    items: list[Communication]
    next: str | None


class Variant(BaseModel):
    """Contact data as bookings had it, of the user or of somebody who counts as them."""

    user_id: UUID
    first_name: str | None
    last_name: str | None
    email_written: str | None
    phone: str | None
    company: str | None
    first_seen_at: datetime
    last_seen_at: datetime


class User(BaseModel):
    """A user, and everybody who counts as them. Of an erased one only ids and dates are left.

    ``merged_into`` is whom they were merged into, ``canonical_id`` whom they count as in the end; ``corrected`` names
    the fields staff corrected; ``variants`` are the newest of ``variant_count``.
    """

    user_id: UUID
    email: str | None
    first_name: str | None
    last_name: str | None
    phone: str | None
    company_name: str | None
    placeholder: bool
    created_at: datetime
    sequence: int
    erased_at: datetime | None
    merged_into: UUID | None
    canonical_id: UUID
    merged_from: list[UUID]
    corrected: list[str]
    emails: list[str]
    variants: list[Variant]
    variant_count: int


class FieldPreview(BaseModel):
    """``kept`` shows after the merge; ``merged`` stays with the merged user."""

    field: str
    kept: Any
    merged: Any
    differs: bool


class MergePreview(BaseModel):
    """What a merge would do. ``into`` is whom ``into`` counts as; ``moves`` counts what would show there."""

    user_id: UUID
    into: UUID
    fields: list[FieldPreview]
    moves: dict[str, int]


class ErasePreview(BaseModel):
    """Whom an erasure would take, everybody who counts as the same person, and how much with them."""

    users: list[UUID]
    emails: list[str]
    counts: dict[str, int]


class Erased(BaseModel):
    """Who was erased: everybody who counted as the same person."""

    users: list[UUID]


class Decision(BaseModel):
    """What somebody decided about a user; ``before`` and ``after`` are gone once the user is erased."""

    id: int
    at: datetime
    by: str
    action: str
    user_id: UUID
    other_id: UUID | None
    reason: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class DuplicateUser(BaseModel):
    """One of two who may be the same person."""

    user_id: UUID = Field(validation_alias="id")
    email: str | None
    first_name: str | None
    last_name: str | None
    phone: str | None
    company_name: str | None
    created_at: datetime


class Duplicate(BaseModel):
    """Two users who may be one person, and why: the higher the score, the likelier."""

    users: list[DuplicateUser]
    reasons: list[str]
    score: int


class DuplicatePage(BaseModel):
    """Likely duplicates, likeliest first. ``next`` is the cursor of the following page."""

    items: list[Duplicate]
    next: str | None


class Found(BaseModel):
    """How many likely duplicates there are; null while another search is under way."""

    count: int | None
