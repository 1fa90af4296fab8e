"""Staff say what is right about a person: it shows instead of what bookings say, until it is cleared."""

import json
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import event_log
from users.errors import ChangedMeanwhile, NoSuchUser, UserIsErased, UserIsMerged
from users.service import profiles
from users.service.audit import Decision, record
from users.service.find_user import canonical_of
from users.service.profiles import Person

_LOCK = text("SELECT sequence, merged_into, erased_at, corrections FROM users WHERE id = :id FOR UPDATE")
_CORRECT = text("UPDATE users SET corrections = CAST(:corrections AS jsonb) WHERE id = :id")


async def correct_user(
    engine: AsyncEngine,
    source: str,
    user_id: UUID,
    *,
    changes: Mapping[str, str | None],
    seen_sequence: int,
    region: str,
    decision: Decision,
) -> None:
    """Correct fields (``domain.CORRECTABLE``), or clear a correction with ``None``, and commit.

    Raises :class:`NoSuchUser`, :class:`UserIsErased`, :class:`UserIsMerged`, or :class:`ChangedMeanwhile` if the
    person is not at ``seen_sequence`` any more.
    """
    async with engine.begin() as connection:
        user = await _lock(connection, user_id)
        if user["sequence"] != seen_sequence:
            raise ChangedMeanwhile(user_id, user["sequence"])
        before: dict[str, str] = user["corrections"]
        after = {name: value for name, value in {**before, **changes}.items() if value is not None}
        if after == before:
            return
        await connection.execute(_CORRECT, {"id": user_id, "corrections": json.dumps(after)})
        await record(connection, decision, action="correct", user_id=user_id, before=before, after=after)
        person = Person.of(await profiles.read_by_id(connection, user_id))
        if person.is_news:
            await profiles.store(connection, [person], region=region)
            await event_log.append(connection, source, [person.event()])


async def _lock(connection: AsyncConnection, user_id: UUID) -> RowMapping:
    user = (await connection.execute(_LOCK, {"id": user_id})).mappings().one_or_none()
    if user is None:
        raise NoSuchUser(user_id)
    if user["erased_at"]:
        raise UserIsErased(user_id)
    if user["merged_into"]:
        raise UserIsMerged(user_id, await canonical_of(connection, user_id))
    return user
