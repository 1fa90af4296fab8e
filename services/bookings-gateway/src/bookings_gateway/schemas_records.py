"""HTTP bodies of what is written down about a user: notes, communications, activity."""

from enum import StrEnum
from typing import Generic, TypeVar
from uuid import UUID

from pydantic import AliasChoices, BaseModel, Field

from bookings_gateway.schemas_admin import Given, Instant, Prose, Shown, Word, examples

Item = TypeVar("Item", bound=BaseModel)


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


class NewNote(Given):
    """A note about a user."""

    model_config = examples({"kind": "complaint", "text": "Waited for 20 minutes.", "internal": True})

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

    model_config = examples(
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


class CursorPage(Shown, Generic[Item]):
    """A page, as its service answers it (``items``) and as it is answered here."""

    data: list[Item] = Field(validation_alias=AliasChoices("items", "data"))
    next: str | None


class NotePage(CursorPage[Note]):
    """Newest first; ``next`` is the cursor of the following page."""


class CommunicationPage(CursorPage[Communication]):
    """Newest first; ``next`` is the cursor of the following page."""


class ActivityPage(CursorPage[Activity]):
    """Newest first; ``next`` is the cursor of the following page."""
