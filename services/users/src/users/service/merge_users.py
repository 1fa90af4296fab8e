"""Merge two users into one person, and undo it: a mapping that readers follow, never a rewrite."""

from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import event_log
from shared.contracts import UserMergeSnapshot
from shared.event_log import NewEvent
from users.errors import NotMerged, SamePerson, UserIsErased, UserIsMerged
from users.service.audit import Decision, record, take_turn
from users.service.find_user import canonical_of, chain_of, read_user

_SET = text(
    """
    UPDATE users SET merged_into = :into, merge_sequence = merge_sequence + 1 WHERE id = :id
    RETURNING merge_sequence, clock_timestamp() AS now
    """
)


async def merge_users(engine: AsyncEngine, source: str, user_id: UUID, *, into: UUID, decision: Decision) -> None:
    """Let a user count as ``into``, or whoever that counts as, and commit. Repeating it changes nothing.

    Raises :class:`NoSuchUser`, :class:`SamePerson`, :class:`UserIsMerged` (into somebody else) or
    :class:`UserIsErased`.
    """
    async with engine.begin() as connection:
        await take_turn(connection)
        user = await read_user(connection, user_id)
        target = await check_merge(connection, user, into)
        if user["merged_into"]:
            return
        await _count_as(connection, source, user, target, decision)


async def unmerge_user(engine: AsyncEngine, source: str, user_id: UUID, *, decision: Decision) -> None:
    """Let a merged user count as themselves again and commit.

    Raises :class:`NoSuchUser`, :class:`NotMerged` or :class:`UserIsErased`.
    """
    async with engine.begin() as connection:
        await take_turn(connection)
        user = await read_user(connection, user_id)
        if user["erased_at"]:
            raise UserIsErased(user_id)
        if user["merged_into"] is None:
            raise NotMerged(user_id)
        await _count_as(connection, source, user, None, decision)


async def check_merge(connection: AsyncConnection, user: RowMapping, into: UUID) -> UUID:
    """Return whom ``user`` would count as, or does by this very merge; raises what :func:`merge_users` does.

    A merge is the same one again when what it stored lies on the way from ``into`` to its end, which may have been
    merged on since.
    """
    target = await read_user(connection, await canonical_of(connection, into))
    for row in (user, target):
        if row["erased_at"]:
            raise UserIsErased(row["id"])
    canonical: UUID = target["id"]
    if user["merged_into"] and user["merged_into"] not in await chain_of(connection, into):
        raise UserIsMerged(user["id"], await canonical_of(connection, user["id"]))
    if user["id"] == canonical:
        raise SamePerson(user["id"], into)
    return canonical


async def _count_as(
    connection: AsyncConnection, source: str, user: RowMapping, into: UUID | None, decision: Decision
) -> None:
    row = (await connection.execute(_SET, {"id": user["id"], "into": into})).one()
    action = "merge" if into else "unmerge"
    await record(
        connection,
        decision,
        action=action,
        user_id=user["id"],
        other_id=into or user["merged_into"],
        before={"merged_into": _text(user["merged_into"])},
        after={"merged_into": _text(into)},
    )
    snapshot = UserMergeSnapshot(user_id=str(user["id"]), merged_into=_text(into))
    event = NewEvent(
        type=f"user.{action}d", subject=str(user["id"]), sequence=row.merge_sequence, time=row.now, data=snapshot
    )
    await event_log.append(connection, source, [event])


def _text(user_id: UUID | None) -> str | None:
    return str(user_id) if user_id else None
