"""Use cases: register people, link bookings. Each is ensure, lock, decide (pure), write; the caller commits.

Rows are always locked in key order, so two replicas with overlapping groups wait instead of deadlocking.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import BookingLinkSnapshot, BookingSnapshot, UserSnapshot
from shared.emails import normalise_email
from shared.event_log import NewEvent
from shared.events import Event
from shared.ids import new_id
from users import queries
from users.domain import Contact, Link, Profile, profile_of


@dataclass(frozen=True, slots=True)
class Observation:
    """One version of a booking, seen from the side of the person."""

    booking_id: str
    booking_sequence: int
    seen_at: datetime
    booked_at: datetime
    email: str | None
    contact: Contact
    traceparent: str | None
    is_taken_back: bool = False

    @classmethod
    def of(cls, event: Event, booking: BookingSnapshot) -> "Observation":
        contact = booking.contact
        return cls(
            booking_id=booking.booking_id,
            booking_sequence=event.sequence,
            seen_at=event.time,
            booked_at=booking.created_at or event.time,
            email=normalise_email(contact.email),
            contact=Contact(
                contact.first_name, contact.last_name, contact.email, contact.phone, contact.company,
                first_seen_at=event.time, last_seen_at=event.time,
            ),
            traceparent=event.traceparent,
            is_taken_back=booking.imported and event.type == "booking.deleted",
        )  # fmt: skip

    @property
    def identity(self) -> str:
        """The key of the person: the address, or the booking itself where it has no usable one."""
        return self.email or f"booking:{self.booking_id}"


@dataclass(frozen=True, slots=True)
class People:
    """The users behind identities, and what to announce about them."""

    ids: Mapping[str, UUID]
    news: Sequence[NewEvent]


async def register_people(connection: AsyncConnection, observations: Sequence[Observation]) -> People:
    """Register everyone observed and take in their contact data."""
    first_booked = earliest_booking(observations)
    await _ensure_users(connection, observations, first_booked)
    rows = await _lock_users(connection, list(first_booked))
    ids = {row["identity"]: row["id"] for row in rows}
    await _keep_variants(connection, observations, ids)
    variants = await _variants_of(connection, ids.values())
    people = [Person(row, profile_of(variants[row["id"]], _earlier(row, first_booked))) for row in rows]
    due = [person for person in people if person.is_news]
    await _update_users(connection, due)
    causes = {ids[observation.identity]: observation.traceparent for observation in observations}
    return People(ids, [person.event(causes[person.row["id"]]) for person in due])


def _earlier(row: RowMapping, first_booked: Mapping[str, datetime]) -> datetime:
    stored: datetime = row["created_at"]
    return min(stored, first_booked[row["identity"]])


def earliest_booking(observations: Iterable[Observation]) -> dict[str, datetime]:
    """Return when each identity first booked, as far as these observations tell."""
    first: dict[str, datetime] = {}
    for observation in observations:
        known = first.get(observation.identity, observation.booked_at)
        first[observation.identity] = min(known, observation.booked_at)
    return first


async def _ensure_users(
    connection: AsyncConnection, observations: Sequence[Observation], first_booked: Mapping[str, datetime]
) -> None:
    emails = {observation.identity: observation.email for observation in observations}
    identities = sorted(emails)
    await connection.execute(
        queries.ENSURE_USERS,
        {
            "ids": [new_id() for _ in identities],
            "identities": identities,
            "emails": [emails[identity] for identity in identities],
            "created": [first_booked[identity] for identity in identities],
        },
    )


async def _lock_users(connection: AsyncConnection, identities: Sequence[str]) -> Sequence[RowMapping]:
    rows = await connection.execute(queries.LOCK_USERS, {"identities": sorted(identities)})
    return rows.mappings().all()


async def _keep_variants(
    connection: AsyncConnection, observations: Sequence[Observation], ids: Mapping[str, UUID]
) -> None:
    contacts = [observation.contact for observation in observations]
    await connection.execute(
        queries.KEEP_VARIANTS,
        {
            "users": [ids[observation.identity] for observation in observations],
            "first_names": [contact.first_name for contact in contacts],
            "last_names": [contact.last_name for contact in contacts],
            "emails": [contact.email_written for contact in contacts],
            "phones": [contact.phone for contact in contacts],
            "companies": [contact.company for contact in contacts],
            "seen": [contact.first_seen_at for contact in contacts],
        },
    )


async def _variants_of(connection: AsyncConnection, users: Iterable[UUID]) -> Mapping[UUID, list[Contact]]:
    variants: dict[UUID, list[Contact]] = defaultdict(list)
    for row in (await connection.execute(queries.VARIANTS, {"users": list(users)})).mappings():
        fields: dict[str, Any] = dict(row)
        variants[fields.pop("user_id")].append(Contact(**fields))
    return variants


@dataclass(frozen=True, slots=True)
class Person:
    """A user as stored, under lock, and the profile everything seen adds up to."""

    row: RowMapping
    profile: Profile

    @property
    def is_news(self) -> bool:
        shown = Profile(*(self.row[field] for field in ("created_at", *queries.PROFILE_COLUMNS)))
        return self.row["sequence"] == 0 or self.profile != shown

    def event(self, traceparent: str | None) -> NewEvent:
        row, profile = self.row, self.profile
        return NewEvent(
            type="user.updated" if row["sequence"] else "user.registered",
            subject=str(row["id"]),
            sequence=row["sequence"] + 1,
            time=row["now"],
            data=UserSnapshot(
                user_id=str(row["id"]),
                email=row["email"],
                first_name=profile.first_name,
                last_name=profile.last_name,
                phone=profile.phone,
                company_name=profile.company_name,
                placeholder=row["email"] is None,
                created_at=profile.created_at,
            ),
            traceparent=traceparent,
        )


async def _update_users(connection: AsyncConnection, people: Sequence[Person]) -> None:
    profiles = [person.profile for person in people]
    await connection.execute(
        queries.UPDATE_USERS,
        {
            "ids": [person.row["id"] for person in people],
            "created": [profile.created_at for profile in profiles],
            "first_names": [profile.first_name for profile in profiles],
            "last_names": [profile.last_name for profile in profiles],
            "phones": [profile.phone for profile in profiles],
            "companies": [profile.company_name for profile in profiles],
        },
    )


async def link_bookings(
    connection: AsyncConnection, observations: Sequence[Observation], users: Mapping[str, UUID]
) -> list[NewEvent]:
    """Link each booking to the person of its newest version; return what to announce.

    One whose import was taken back is nobody's, unannounced; when it is told again, its link is news again.
    """
    bookings = sorted({observation.booking_id for observation in observations})
    await connection.execute(queries.ENSURE_LINKS, {"bookings": bookings})
    stored = {
        row["booking_id"]: Link(**row)
        for row in (await connection.execute(queries.LOCK_LINKS, {"bookings": bookings})).mappings()
    }
    links = dict(stored)
    newest: dict[str, Observation] = {}
    for observation in observations:
        link = links[observation.booking_id]
        user = None if observation.is_taken_back else str(users[observation.identity])
        links[observation.booking_id] = link.follow(user, observation.booking_sequence)
        newest[observation.booking_id] = observation
    moved = [link for key, link in links.items() if link != stored[key]]
    await _update_links(connection, moved)
    relinked = [link for link in moved if link.user_id and link.sequence != stored[link.booking_id].sequence]
    return [_link_event(link, newest[link.booking_id]) for link in relinked]


async def _update_links(connection: AsyncConnection, links: Sequence[Link]) -> None:
    await connection.execute(
        queries.UPDATE_LINKS,
        {
            "bookings": [link.booking_id for link in links],
            "users": [link.user_id for link in links],
            "booking_sequences": [link.booking_sequence for link in links],
            "sequences": [link.sequence for link in links],
        },
    )


def _link_event(link: Link, cause: Observation) -> NewEvent:
    if link.user_id is None:
        raise ValueError(f"booking {link.booking_id} has no user to link to")
    return NewEvent(
        type="user.booking_linked",
        subject=link.booking_id,
        sequence=link.sequence,
        time=cause.seen_at,
        data=BookingLinkSnapshot(booking_id=link.booking_id, user_id=link.user_id),
        traceparent=cause.traceparent,
    )
