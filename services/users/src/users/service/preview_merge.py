"""What a merge would do: field by field, and how much moves. Changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from users.service.find_user import members_of, read_user
from users.service.merge_users import check_merge

FIELDS = ("email", "first_name", "last_name", "phone", "company_name", "placeholder", "created_at")
_COUNTS = text(
    """
    SELECT (SELECT count(*) FROM booking_link WHERE user_id = ANY(CAST(:ids AS uuid[]))) AS bookings,
           (SELECT count(*) FROM contact_variant WHERE user_id = ANY(CAST(:ids AS uuid[]))) AS variants,
           (SELECT count(*) FROM note WHERE user_id = ANY(CAST(:ids AS uuid[]))) AS notes,
           (SELECT count(*) FROM communication WHERE user_id = ANY(CAST(:ids AS uuid[]))) AS communications
    """
)


@dataclass(frozen=True, slots=True)
class FieldPreview:
    """One field: what shows after the merge, and what stays a variant."""

    field: str
    kept: object
    merged: object

    @property
    def differs(self) -> bool:
        return self.kept != self.merged


@dataclass(frozen=True, slots=True)
class MergePreview:
    """``moves`` counts what would show under ``into``: bookings, notes, communications, variants, users."""

    user_id: UUID
    into: UUID
    fields: Sequence[FieldPreview]
    moves: Mapping[str, int]


async def preview_merge(engine: AsyncEngine, user_id: UUID, *, into: UUID) -> MergePreview:
    """Return what merging would do; raises what ``merge_users`` would."""
    async with engine.connect() as connection:
        user = await read_user(connection, user_id)
        target = await read_user(connection, await check_merge(connection, user, into))
        members = await members_of(connection, user_id)
        counts = (await connection.execute(_COUNTS, {"ids": members})).mappings().one()
    fields = [FieldPreview(name, target[name], user[name]) for name in FIELDS]
    return MergePreview(user_id, target["id"], fields, {**counts, "users": len(members)})
