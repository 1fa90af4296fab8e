"""Who is who: pure rules, no input or output."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

import phonenumbers

from shared.emails import address_digest


@lru_cache(maxsize=4096)
def phone_key(written: str | None, region: str) -> str | None:
    """Return a phone number in E.164, so that all ways to write it are equal; ``None`` if it is no valid number.

    Numbers without a country code are of ``region`` (ISO 3166, such as ``GB``).
    """
    if not written:
        return None
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class Contact(NamedTuple):
    """Contact data as one version of a booking had it."""

    first_name: str | None
    last_name: str | None
    email_written: str | None
    phone: str | None
    company: str | None

    @property
    def is_bare(self) -> bool:
        """Whether it says nothing at all."""
        return not any(self)

    @property
    def digest(self) -> bytes:
        """What tells variants apart; an index over the values themselves has a limit of length."""
        return hashlib.blake2b(repr(self).encode(errors="replace"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Profile:
    """What is shown of a person. ``created_at`` is the earliest booking known."""

    created_at: datetime
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    company_name: str | None = None


CORRECTABLE = ("first_name", "last_name", "phone", "company_name")


def shown_profile(seen: Profile, corrections: Mapping[str, str]) -> Profile:
    """Return what bookings say with what staff corrected: a correction stands until it is cleared."""
    values = {name: corrections.get(name, getattr(seen, name)) for name in CORRECTABLE}
    return Profile(created_at=seen.created_at, **values)


def placeholder_identity(booking_id: str) -> str:
    """Return the key of the person behind a booking without a usable address."""
    return f"booking:{booking_id}"


ERASURE_REASONS = ("requested", "court_order", "retention_ended", "other")


def erasure_reason(written: str | None) -> str | None:
    """Return what is kept of why a person was erased: a word of a fixed list, for free text may name them."""
    if written is None:
        return None
    word = "_".join(written.casefold().split())
    return word if word in ERASURE_REASONS else "other"


def erased_identity(user_id: UUID) -> str:
    """Return the key an erased person has instead of the address."""
    return f"erased:{user_id}"


def identity_digest(email: str) -> bytes:
    """Return what is kept of an erased person's normalised address: enough to know it again, not to read it."""
    return address_digest(email)


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person who had an address, and until when bookings by it were theirs."""

    user_id: UUID
    erased_at: datetime


def erased_owner(
    booked_at: datetime | None, erasures: Collection[Erasure], *, linked_to: UUID | None = None
) -> UUID | None:
    """Return the erased person a booking was made by; ``None`` if it was made after every erasure of its address.

    It depends on when the booking was made, never on when we hear of it: late, repeated and reordered news of old
    bookings cannot bring anybody back, and a new booking is a new person's. A booking that tells no time was made
    before, and one that is ``linked_to`` an erased person of its address stays theirs, whatever time it tells.
    """
    if linked_to in {erasure.user_id for erasure in erasures}:
        return linked_to
    later = [erasure for erasure in erasures if booked_at is None or booked_at <= erasure.erased_at]
    return min(later, key=lambda erasure: erasure.erased_at).user_id if later else None
