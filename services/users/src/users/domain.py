"""Who is who: pure rules, no input or output."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """Contact data as one booking had it, and when it was first and last seen so."""

    first_name: str | None
    last_name: str | None
    email_written: str | None
    phone: str | None
    company: str | None
    first_seen_at: datetime
    last_seen_at: datetime

    @property
    def name(self) -> tuple[str, str]:
        return self.first_name or "", self.last_name or ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is shown of a person. ``created_at`` is the earliest booking known."""

    created_at: datetime
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    company_name: str | None = None


def profile_of(variants: Sequence[Contact], first_booked: datetime) -> Profile:
    """Choose what to show from everything seen; the same for any order of ``variants``.

    The newest non-empty phone and company show. The name is the first one seen: a later differing name may be
    a colleague or relative on a shared mailbox, and stays a variant until a person decides.
    """
    profile = Profile(created_at=first_booked)
    named = [variant for variant in variants if any(variant.name)]
    if named:
        first = min(named, key=lambda variant: (variant.first_seen_at, variant.name))
        profile = replace(profile, first_name=first.first_name, last_name=first.last_name)
    return replace(
        profile,
        phone=_newest([(variant.last_seen_at, variant.phone) for variant in variants]),
        company_name=_newest([(variant.last_seen_at, variant.company) for variant in variants]),
    )


def _newest(values: Sequence[tuple[datetime, str | None]]) -> str | None:
    present = [(seen, value) for seen, value in values if value]
    return max(present)[1] if present else None


@dataclass(frozen=True, slots=True)
class Link:
    """Which user a booking belongs to, as decided by version ``booking_sequence`` of the booking."""

    booking_id: str
    user_id: str | None
    booking_sequence: int
    sequence: int

    def follow(self, user_id: str | None, booking_sequence: int) -> "Link":
        """Return the link after seeing a version of the booking; an older version changes nothing."""
        if booking_sequence <= self.booking_sequence:
            return self
        changed = user_id != self.user_id
        return replace(self, user_id=user_id, booking_sequence=booking_sequence, sequence=self.sequence + int(changed))
