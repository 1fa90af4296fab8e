"""``user.*``, published by the users service."""

from pydantic import AwareDatetime

from shared.contracts.base import Snapshot, register


class UserSnapshot(Snapshot):
    """A person. Subject: the user's id. ``email`` is the normalised address, null for a placeholder."""

    user_id: str
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    company_name: str | None = None
    placeholder: bool = False
    created_at: AwareDatetime


class BookingLinkSnapshot(Snapshot):
    """Which user a booking belongs to. Subject: the booking's id."""

    booking_id: str
    user_id: str


class UserMergeSnapshot(Snapshot):
    """Whom a user counts as. Subject: the merged user's id; ``merged_into`` is null once unmerged.

    ``sequence`` counts the versions of the user's merge state; chains are allowed, readers follow them to the end.
    """

    user_id: str
    merged_into: str | None = None


class UserErasedSnapshot(Snapshot):
    """A person was erased: whoever keeps names, addresses or numbers of theirs removes them. Subject: the user's id.

    ``address_digests`` are the SHA-256 sums (``shared.emails.address_digest``), in hexadecimal, of the normalised
    addresses that were theirs until ``erased_at``.
    """

    user_id: str
    erased_at: AwareDatetime
    address_digests: tuple[str, ...] = ()


register(UserSnapshot, "user.registered", "user.updated")
register(BookingLinkSnapshot, "user.booking_linked")
register(UserMergeSnapshot, "user.merged", "user.unmerged")
register(UserErasedSnapshot, "user.erased")
