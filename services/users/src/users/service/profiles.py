"""Profiles: what is stored of people and what everything seen of them adds up to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import UserSnapshot
from shared.event_log import NewEvent
from users.domain import CORRECTABLE, Profile, phone_key, shown_profile

# The newest phone and company show. The name is the first one seen: a later differing name may be a colleague or
# relative on a shared mailbox, and stays a variant until a person decides. Each by an index: an office mailbox may
# have tens of thousands of variants. Equal times are decided by value, so that order of arrival never matters.
_SEEN = """
    SELECT u.id, u.identity, u.email, u.sequence, u.first_name, u.last_name, u.phone, u.company_name, u.corrections,
           u.created_at, u.merged_into, u.erased_at, clock_timestamp() AS now,
           n.first_name AS seen_first_name, n.last_name AS seen_last_name, p.phone AS seen_phone,
           c.company AS seen_company_name
    FROM users u
    LEFT JOIN LATERAL (
        SELECT first_name, last_name FROM contact_variant
        WHERE user_id = u.id AND (first_name IS NOT NULL OR last_name IS NOT NULL)
        ORDER BY first_seen_at, coalesce(first_name, ''), coalesce(last_name, '') LIMIT 1
    ) n ON true
    LEFT JOIN LATERAL (
        SELECT phone FROM contact_variant WHERE user_id = u.id AND phone IS NOT NULL
        ORDER BY last_seen_at DESC, phone DESC LIMIT 1
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT company FROM contact_variant WHERE user_id = u.id AND company IS NOT NULL
        ORDER BY last_seen_at DESC, company DESC LIMIT 1
    ) c ON true
"""
_BY_IDENTITY = text(f"{_SEEN} WHERE u.identity = ANY(CAST(:identities AS text[]))")
_BY_ID = text(f"{_SEEN} WHERE u.id = :id")
_UPDATE = text(
    """
    UPDATE users SET created_at = n.created_at, first_name = n.first_name, last_name = n.last_name, phone = n.phone,
                     phone_key = n.phone_key, company_name = n.company_name, sequence = sequence + 1
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:created AS timestamptz[]), CAST(:first_names AS text[]),
        CAST(:last_names AS text[]), CAST(:phones AS text[]), CAST(:phone_keys AS text[]), CAST(:companies AS text[])
    ) AS n (id, created_at, first_name, last_name, phone, phone_key, company_name)
    WHERE users.id = n.id
    """
)


@dataclass(frozen=True, slots=True)
class Person:
    """A user as stored, under lock, and the profile everything seen adds up to."""

    row: RowMapping
    profile: Profile

    @classmethod
    def of(cls, row: RowMapping, **known: Any) -> "Person":  # noqa: ANN401
        """Put together what was seen and corrected; ``created_at`` may be known to be earlier than stored."""
        seen = Profile(
            created_at=min(row["created_at"], known.get("created_at", row["created_at"])),
            **{name: row[f"seen_{name}"] for name in CORRECTABLE},
        )
        return cls(row, shown_profile(seen, row["corrections"]))

    @property
    def is_news(self) -> bool:
        """Whether there is something to announce; of an erased person there never is."""
        row = self.row
        shown = Profile(row["created_at"], *(row[name] for name in CORRECTABLE))
        return row["erased_at"] is None and (row["sequence"] == 0 or self.profile != shown)

    def event(self, traceparent: str | None = None) -> NewEvent:
        """Return the next version of the person as an event."""
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


async def read_by_identity(connection: AsyncConnection, identities: Sequence[str]) -> Sequence[RowMapping]:
    """Return people by their keys, with what was seen of them. The caller holds their locks."""
    return (await connection.execute(_BY_IDENTITY, {"identities": identities})).mappings().all()


async def read_by_id(connection: AsyncConnection, user_id: UUID) -> RowMapping:
    """Return one person, with what was seen. The caller holds the lock."""
    return (await connection.execute(_BY_ID, {"id": user_id})).mappings().one()


async def store(connection: AsyncConnection, people: Sequence[Person], *, region: str) -> None:
    """Write profiles as the next version of their people."""
    if not people:
        return
    profiles = [person.profile for person in people]
    await connection.execute(
        _UPDATE,
        {
            "ids": [person.row["id"] for person in people],
            "created": [profile.created_at for profile in profiles],
            "first_names": [profile.first_name for profile in profiles],
            "last_names": [profile.last_name for profile in profiles],
            "phones": [profile.phone for profile in profiles],
            "phone_keys": [phone_key(profile.phone, region) for profile in profiles],
            "companies": [profile.company_name for profile in profiles],
        },
    )
