"""Find users: one with everybody who counts as the same person, and a few by text."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from users.errors import NoSuchUser

MOST_VARIANTS = 200

# UNION, not UNION ALL: it would end even in a circle, which merges never make.
_CANONICAL = text(
    """
    WITH RECURSIVE chain AS (
        SELECT id, merged_into FROM users WHERE id = :id
        UNION SELECT u.id, u.merged_into FROM chain c JOIN users u ON u.id = c.merged_into
    )
    SELECT id FROM chain WHERE merged_into IS NULL
    """
)
_CHAIN = text(
    """
    WITH RECURSIVE chain AS (
        SELECT id, merged_into FROM users WHERE id = :id
        UNION SELECT u.id, u.merged_into FROM chain c JOIN users u ON u.id = c.merged_into
    )
    SELECT id FROM chain
    """
)
_MEMBERS = text(
    """
    WITH RECURSIVE member AS (
        SELECT id FROM users WHERE id = :id
        UNION SELECT u.id FROM member m JOIN users u ON u.merged_into = m.id
    )
    SELECT id FROM member ORDER BY id
    """
)
_USER = text("SELECT *, identity LIKE 'booking:%' AS placeholder FROM users WHERE id = :id")
_EMAILS = text(
    """
    SELECT email FROM users WHERE id = ANY(CAST(:ids AS uuid[])) AND email IS NOT NULL ORDER BY id <> :first, email
    """
)
_VARIANTS = text(
    """
    SELECT user_id, first_name, last_name, email_written, phone, company, first_seen_at, last_seen_at
    FROM contact_variant WHERE user_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY last_seen_at DESC, user_id, digest LIMIT :limit
    """
)
_COUNT_VARIANTS = text("SELECT count(*) FROM contact_variant WHERE user_id = ANY(CAST(:ids AS uuid[]))")
_LIST = text(
    """
    SELECT id, email, first_name, last_name, phone, company_name, merged_into, erased_at FROM users
    WHERE CAST(:text AS text) IS NULL OR id::text = :text
       OR strpos(lower(concat_ws(' ', email, first_name, last_name, phone, company_name)), lower(:text)) > 0
    ORDER BY id DESC LIMIT :limit
    """
)
_AUDIT = text(
    """
    SELECT id, at, by, action, user_id, other_id, reason, before, after FROM audit
    WHERE user_id = :id OR other_id = :id ORDER BY id DESC LIMIT 200
    """
)


async def canonical_of(connection: AsyncConnection, user_id: UUID) -> UUID:
    """Return whom a user counts as, in the end; raises :class:`NoSuchUser`."""
    found: UUID | None = (await connection.execute(_CANONICAL, {"id": user_id})).scalar_one_or_none()
    if found is None:
        raise NoSuchUser(user_id)
    return found


async def chain_of(connection: AsyncConnection, user_id: UUID) -> set[UUID]:
    """Return the user and everybody they count as on the way to the end."""
    return set((await connection.execute(_CHAIN, {"id": user_id})).scalars())


async def members_of(connection: AsyncConnection, user_id: UUID) -> list[UUID]:
    """Return the user and everybody who counts as them."""
    return list((await connection.execute(_MEMBERS, {"id": user_id})).scalars())


async def same_person(connection: AsyncConnection, user_id: UUID) -> list[UUID]:
    """Return everybody who is the same person as this user; raises :class:`NoSuchUser`."""
    return await members_of(connection, await canonical_of(connection, user_id))


async def read_user(connection: AsyncConnection, user_id: UUID) -> RowMapping:
    """Return a user's row; raises :class:`NoSuchUser`."""
    row = (await connection.execute(_USER, {"id": user_id})).mappings().one_or_none()
    if row is None:
        raise NoSuchUser(user_id)
    return row


async def show_user(engine: AsyncEngine, user_id: UUID) -> Mapping[str, Any]:
    """Return a user, whom they count as, and the addresses and variants of everybody who counts as them.

    Variants come newest first, at most :data:`MOST_VARIANTS`; ``variant_count`` says how many there are.
    """
    async with engine.connect() as connection:
        row = await read_user(connection, user_id)
        members = await members_of(connection, user_id)
        criteria = {"ids": members, "first": user_id, "limit": MOST_VARIANTS}
        return {
            **row,
            "user_id": user_id,
            "corrected": sorted(row["corrections"]),
            "canonical_id": await canonical_of(connection, user_id),
            "merged_from": [member for member in members if member != user_id],
            "emails": (await connection.execute(_EMAILS, criteria)).scalars().all(),
            "variants": (await connection.execute(_VARIANTS, criteria)).mappings().all(),
            "variant_count": (await connection.execute(_COUNT_VARIANTS, criteria)).scalar_one(),
        }


async def list_users(engine: AsyncEngine, *, text: str | None, limit: int) -> Sequence[RowMapping]:
    """Return users with ``text`` in any field, newest first. Reads the whole table: for operators."""
    async with engine.connect() as connection:
        return (await connection.execute(_LIST, {"text": text, "limit": limit})).mappings().all()


async def read_audit(engine: AsyncEngine, user_id: UUID) -> Sequence[RowMapping]:
    """Return the latest decisions about a user, newest first; raises :class:`NoSuchUser`."""
    async with engine.connect() as connection:
        await read_user(connection, user_id)
        return (await connection.execute(_AUDIT, {"id": user_id})).mappings().all()
