"""Register everyone observed and take in their contact data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.event_log import NewEvent
from shared.ids import new_id
from users.domain import Contact
from users.service import profiles
from users.service.observation import Observation
from users.service.profiles import Person

# Inserts who is new and locks who is known, in the order of the keys, so two replicas with overlapping groups wait
# instead of deadlocking. A conflicting row is locked though WHERE keeps it from being written. The unique identity
# decides a race of two first bookings: the loser waits and finds the winner's row.
_ENSURE = text(
    """
    INSERT INTO users (id, identity, email, created_at)
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:identities AS text[]), CAST(:emails AS text[]), CAST(:created AS timestamptz[])
    ) AS n (id, identity, email, created_at)
    ORDER BY identity
    ON CONFLICT (identity) DO UPDATE SET identity = excluded.identity WHERE false
    """
)
# Nothing is kept of the erased; the users are locked, so that cannot change under it.
_KEEP_VARIANTS = text(
    """
    INSERT INTO contact_variant
        (user_id, digest, first_name, last_name, email_written, phone, company, first_seen_at, last_seen_at)
    SELECT u.id, o.digest, o.first_name, o.last_name, o.email_written, o.phone, o.company, o.first_seen, o.last_seen
    FROM unnest(
        CAST(:identities AS text[]), CAST(:digests AS bytea[]), CAST(:first_names AS text[]),
        CAST(:last_names AS text[]), CAST(:emails AS text[]), CAST(:phones AS text[]), CAST(:companies AS text[]),
        CAST(:first_seen AS timestamptz[]), CAST(:last_seen AS timestamptz[])
    ) AS o (identity, digest, first_name, last_name, email_written, phone, company, first_seen, last_seen)
    JOIN users u USING (identity)
    WHERE u.erased_at IS NULL
    ON CONFLICT (user_id, digest) DO UPDATE SET
        first_seen_at = least(contact_variant.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(contact_variant.last_seen_at, excluded.last_seen_at)
    """
)


@dataclass(frozen=True, slots=True)
class People:
    """The users behind identities, and what to announce about them."""

    ids: Mapping[str, UUID]
    news: Sequence[NewEvent]


async def register_people(connection: AsyncConnection, observations: Sequence[Observation], *, region: str) -> People:
    """Register everyone observed; the caller commits. ``region`` is where phone numbers without a country are."""
    first_booked = earliest_booking(observations)
    await _ensure_users(connection, observations, first_booked)
    await _keep_variants(connection, observations)
    rows = await profiles.read_by_identity(connection, list(first_booked))
    due = [person for row in rows if (person := Person.of(row, created_at=first_booked[row["identity"]])).is_news]
    await profiles.store(connection, due, region=region)
    causes = {observation.identity: observation.traceparent for observation in observations}
    return People(
        {row["identity"]: row["id"] for row in rows}, [person.event(causes[person.row["identity"]]) for person in due]
    )


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
    await connection.execute(
        _ENSURE,
        {
            "ids": [new_id() for _ in emails],
            "identities": list(emails),
            "emails": list(emails.values()),
            "created": [first_booked[identity] for identity in emails],
        },
    )


async def _keep_variants(connection: AsyncConnection, observations: Sequence[Observation]) -> None:
    seen: dict[tuple[str, bytes], tuple[Contact, list[datetime]]] = {}
    for each in observations:
        if not each.contact.is_bare:
            _, times = seen.setdefault((each.identity, each.contact.digest), (each.contact, []))
            times.append(each.seen_at)
    if not seen:
        return
    contacts = [contact for contact, _ in seen.values()]
    await connection.execute(
        _KEEP_VARIANTS,
        {
            "identities": [identity for identity, _ in seen],
            "digests": [digest for _, digest in seen],
            "first_names": [contact.first_name for contact in contacts],
            "last_names": [contact.last_name for contact in contacts],
            "emails": [contact.email_written for contact in contacts],
            "phones": [contact.phone for contact in contacts],
            "companies": [contact.company for contact in contacts],
            "first_seen": [min(times) for _, times in seen.values()],
            "last_seen": [max(times) for _, times in seen.values()],
        },
    )
