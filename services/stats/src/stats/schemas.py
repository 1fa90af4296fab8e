"""HTTP bodies."""

import base64
import binascii
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import BaseModel, Field

from shared.fields import in_reach


class Activity(BaseModel):
    """One thing that happened. ``amount`` is in major units of ``currency``, as it stood after the event."""

    event_id: UUID
    user_id: UUID = Field(description="Whom it happened to, before merges")
    kind: str
    time: datetime
    booking_id: str | None
    payment_id: str | None
    amount: Decimal | None
    currency: str | None


class ActivityPage(BaseModel):
    """Newest first. ``next`` asks for the following page; null when this is the last."""

    items: list[Activity]
    next: str | None


def cursor_of(line: Activity) -> str:
    """Return an opaque cursor that continues after this line."""
    return base64.urlsafe_b64encode(f"{line.time.isoformat()} {line.event_id}".encode()).decode()


def read_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Return (time, event id) of a cursor; raises ``ValueError``."""
    try:
        time, _, event_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        return in_reach(datetime.fromisoformat(time)), UUID(event_id)
    except (binascii.Error, UnicodeDecodeError, TypeError) as error:
        raise ValueError("not a cursor of ours") from error
