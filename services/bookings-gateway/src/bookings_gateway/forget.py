"""Taking erased people out of our own history of their bookings: events, captured changes, the read model.

Ids, versions and times stay. Doing it twice changes nothing.
"""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_CAPTURED = """
    UPDATE {captured} SET {also} row = (
        SELECT json_object_agg(key, value) FROM json_each(row) WHERE key <> ALL (CAST(:columns AS text[])))
    WHERE booking_id = ANY(CAST(:ids AS text[]))
"""
# An error may repeat what it could not read.
_CAPTURES = (
    text(_CAPTURED.format(captured="booking_change", also="")),
    text(_CAPTURED.format(captured="booking_change_failed", also="error = split_part(error, ':', 1),")),
)
_FORGOTTEN = text("UPDATE booking_user SET forgotten = true WHERE booking_id = ANY(CAST(:ids AS text[]))")
# A trigger empties the row, now and whatever comes later.
_SUMMARIES = text(
    """
    INSERT INTO booking_summary (booking_id, sequence, deleted, currency, forgotten)
    SELECT booking_id, 0, true, '', true FROM unnest(CAST(:ids AS text[])) AS booking_id ORDER BY booking_id
    ON CONFLICT (booking_id) DO UPDATE SET forgotten = true
    """
)
# The history keeps each version and its time; who it was is taken out of it.
_EVENTS = text(
    """
    UPDATE event_log SET body = CAST(jsonb_set(CAST(body AS jsonb), '{data,contact}', '{}') AS json)
    WHERE subject = ANY(CAST(:ids AS text[])) AND CAST(body -> 'data' ->> 'contact' AS text) <> '{}'
    """
)
# Links before summaries, as the consumer locks them.
_HISTORY = (_FORGOTTEN, _SUMMARIES, _EVENTS)


async def forget_history(connection: AsyncConnection, ids: Sequence[str], *, columns: Sequence[str]) -> None:
    """Take the people of these bookings out; the legacy ``columns`` tell of people. The caller commits."""
    for captured in _CAPTURES:
        await connection.execute(captured, {"ids": ids, "columns": columns})
    for forgetting in _HISTORY:
        await connection.execute(forgetting, {"ids": ids})
