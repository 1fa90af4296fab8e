"""Take away everything personal that is kept of people; ids, dates, links and what was decided about them stay."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import UserErasedSnapshot
from shared.event_log import NewEvent
from users.service.observation import Observation

_REMOVE = [
    text(f"DELETE FROM {table} WHERE user_id = ANY(CAST(:ids AS uuid[]))")  # noqa: S608 - names of ours
    for table in ("contact_variant", "note", "communication")
]
_SUGGESTIONS = text(
    """
    DELETE FROM duplicate_suggestion
    WHERE one_id = ANY(CAST(:ids AS uuid[])) OR other_id = ANY(CAST(:ids AS uuid[]))
    """
)
_AUDIT = text(
    """
    UPDATE audit SET before = NULL, after = NULL, reason = NULL
    WHERE user_id = ANY(CAST(:ids AS uuid[])) OR other_id = ANY(CAST(:ids AS uuid[]))
    """
)
# The log keeps its events, so that a replay stays complete, and they keep their ids: whoever applied one does not
# again. The relay reads bodies as it sends them, so what is still unsent goes out redacted too.
_EVENTS = text(
    """
    UPDATE event_log SET body = CAST(jsonb_set(CAST(body AS jsonb), '{data}', CAST(body AS jsonb) -> 'data'
        || '{"email": null, "first_name": null, "last_name": null, "phone": null, "company_name": null}') AS json)
    WHERE subject = ANY(CAST(:subjects AS text[])) AND type IN ('user.registered', 'user.updated')
    """
)
_USERS = text(
    """
    UPDATE users SET identity = CASE WHEN email IS NULL THEN identity ELSE 'erased:' || id END, email = NULL,
                     first_name = NULL, last_name = NULL, phone = NULL, phone_key = NULL, company_name = NULL,
                     corrections = '{}', erased_at = :at, sequence = sequence + 1
    WHERE id = ANY(CAST(:ids AS uuid[])) AND erased_at IS NULL
    RETURNING id, sequence
    """
)
# Placeholders of bookings that turned out to be an erased person's; locked, so the same booking's contact cannot come
# in meanwhile.
_PLACEHOLDERS = text(
    """
    SELECT p.id, clock_timestamp() AS now
    FROM booking_link l
    JOIN users owner ON owner.id = l.user_id AND owner.erased_at IS NOT NULL
    JOIN users p ON p.identity = 'booking:' || l.booking_id AND p.erased_at IS NULL
    WHERE l.booking_id = ANY(CAST(:bookings AS text[]))
    ORDER BY p.identity
    FOR UPDATE OF p
    """
)


async def forget(
    connection: AsyncConnection, ids: Sequence[UUID], at: datetime, digests: Mapping[UUID, bytes] | None = None
) -> list[NewEvent]:
    """Take away what is personal of users whose rows the caller has locked; return what to announce.

    ``digests`` are those of their addresses. ``user.erased`` is the last version of the person: whoever keeps the
    newest version keeps that one.
    """
    given = {"ids": list(ids)}
    for statement in (*_REMOVE, _SUGGESTIONS, _AUDIT):
        await connection.execute(statement, given)
    await connection.execute(_EVENTS, {"subjects": [str(id_) for id_ in ids]})
    rows = await connection.execute(_USERS, {**given, "at": at})
    return [_event(row.id, row.sequence, at, (digests or {}).get(row.id)) for row in rows]


def _event(user_id: UUID, sequence: int, at: datetime, digest: bytes | None) -> NewEvent:
    known = (digest.hex(),) if digest else ()
    snapshot = UserErasedSnapshot(user_id=str(user_id), erased_at=at, address_digests=known)
    return NewEvent(type="user.erased", subject=str(user_id), sequence=sequence, time=at, data=snapshot)


async def forget_placeholders(connection: AsyncConnection, observations: Sequence[Observation]) -> list[NewEvent]:
    """Take away placeholders that late events made, or had made, of an erased person's bookings.

    Before an address was in a booking its name and number may have been. The caller commits.
    """
    bookings = {each.booking_id for each in observations if each.email is None}
    if not bookings:
        return []
    rows = (await connection.execute(_PLACEHOLDERS, {"bookings": list(bookings)})).all()
    return await forget(connection, [row.id for row in rows], rows[0].now) if rows else []
