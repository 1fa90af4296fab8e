"""What a version of a booking says about who booked, and whose word that is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import BookingSnapshot
from shared.emails import normalise_email
from shared.events import Event
from users.domain import (
    Contact,
    Erasure,
    erased_identity,
    erased_owner,
    identity_digest,
    placeholder_identity,
)

_NOTHING = Contact(None, None, None, None, None)

# Reading this table is also the lock that keeps an erasure out: it takes ACCESS EXCLUSIVE on it (erase_user.py), so it
# waits for every transaction that has read here, and whoever comes later reads, after it, what it wrote.
_ERASURES = text(
    """
    SELECT digest, user_id, erased_at FROM erased_identity WHERE digest = ANY(CAST(:digests AS bytea[]))
    """
)
_ADDRESSED = text("SELECT booking_id FROM booking_link WHERE addressed AND booking_id = ANY(CAST(:bookings AS text[]))")

_LINKS = text("SELECT booking_id, user_id FROM booking_link WHERE booking_id = ANY(CAST(:bookings AS text[]))")


@dataclass(frozen=True, slots=True)
class Observation:
    """One version of a booking, seen from the side of the person.

    ``identity`` is the key of the person; ``addressed`` says whether the booking had a usable address. ``dated`` is
    when the booking says it was made; where it does not, ``booked_at`` is when its version was seen.
    """

    booking_id: str
    booking_sequence: int
    seen_at: datetime
    dated: datetime | None
    booked_at: datetime
    email: str | None
    addressed: bool
    identity: str
    contact: Contact
    traceparent: str | None

    @classmethod
    def of(cls, event: Event, booking: BookingSnapshot) -> "Observation":
        contact = booking.contact
        email = normalise_email(contact.email)
        return cls(
            booking_id=booking.booking_id,
            booking_sequence=event.sequence,
            seen_at=event.time,
            dated=booking.created_at,
            booked_at=booking.created_at or event.time,
            email=email,
            addressed=email is not None,
            identity=email or placeholder_identity(booking.booking_id),
            contact=Contact(contact.first_name, contact.last_name, contact.email, contact.phone, contact.company),
            traceparent=event.traceparent,
        )

    @property
    def rank(self) -> tuple[bool, int]:
        """Which version decides whose the booking is: the newest with a usable address, else the newest.

        So an address that was blanked, or redacted because the person was erased, makes nobody out of somebody.
        """
        return self.addressed, self.booking_sequence


async def attribute(connection: AsyncConnection, observations: Sequence[Observation]) -> list[Observation]:
    """Give observations of erased people to them, without the contact; drop those that say nothing."""
    erasures = await _erasures(connection, [observation.email for observation in observations if observation.email])
    links = await _links(connection, [each.booking_id for each in observations if each.email in erasures])
    owned = [
        _owned(observation, erasures.get(observation.email or "", ()), links.get(observation.booking_id))
        for observation in observations
    ]
    return await _without_silent(connection, owned)


def _owned(observation: Observation, erasures: Sequence[Erasure], linked_to: UUID | None) -> Observation:
    owner = erased_owner(observation.dated, erasures, linked_to=linked_to)
    if owner is None:
        return observation
    return replace(observation, email=None, identity=erased_identity(owner), contact=_NOTHING)


async def _erasures(connection: AsyncConnection, emails: Sequence[str]) -> dict[str, list[Erasure]]:
    digests = {identity_digest(email): email for email in emails}
    erasures: dict[str, list[Erasure]] = defaultdict(list)
    for row in await connection.execute(_ERASURES, {"digests": list(digests)}):
        erasures[digests[row.digest]].append(Erasure(row.user_id, row.erased_at))
    return erasures


async def _links(connection: AsyncConnection, bookings: Sequence[str]) -> dict[str, UUID]:
    if not bookings:
        return {}
    rows = await connection.execute(_LINKS, {"bookings": list(bookings)})
    return {row.booking_id: row.user_id for row in rows}


async def _without_silent(connection: AsyncConnection, observations: Sequence[Observation]) -> list[Observation]:
    """Drop versions without any contact of bookings that somebody is known to have made: they would invent nobody."""
    bare = {observation.booking_id for observation in observations if _is_silent(observation)}
    if not bare:
        return list(observations)
    known = {observation.booking_id for observation in observations if observation.addressed}
    known |= set((await connection.execute(_ADDRESSED, {"bookings": list(bare)})).scalars())
    return [each for each in observations if not (_is_silent(each) and each.booking_id in known)]


def _is_silent(observation: Observation) -> bool:
    return not observation.addressed and observation.contact.is_bare
