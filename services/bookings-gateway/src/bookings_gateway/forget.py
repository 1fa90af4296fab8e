"""Taking erased people out of our own history of their bookings: events, captured changes, the read model.

Ids, versions and times stay. Doing it twice changes nothing.
"""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.read_model import KEEP_BOOKINGS
from bookings_gateway.rows import booking_row
from shared.events import Event

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
# What the import's error desk was told: columns a row should have had, and why.
_ITEMS = text(
    """
    UPDATE import_item SET correction = NULL, detail = NULL, reason = NULL, person = NULL
    WHERE booking_id = ANY(CAST(:ids AS text[])) AND num_nonnulls(correction, detail, reason, person) > 0
    """
)
_VERDICTS = text(
    """
    UPDATE import_verdict SET reason = NULL WHERE booking_id = ANY(CAST(:ids AS text[])) AND reason IS NOT NULL
    """
)
# Of a change that was waived, whose it was.
_DECISIONS = text(
    """
    UPDATE import_decision SET facts = NULL, reason = NULL
    WHERE num_nonnulls(facts, reason) > 0 AND (
        subject = ANY(CAST(:ids AS text[]))
        OR (subject LIKE 'change:%' AND facts ->> 'booking_id' = ANY(CAST(:ids AS text[])))
        OR subject IN (SELECT 'change:' || seq FROM booking_change_failed WHERE booking_id = ANY(CAST(:ids AS text[]))))
    """
)
# Of a booking that is somebody else's now, the newest version is that person's: those with another address are not.
_EVENTS_OF_OTHERS = text(
    """
    UPDATE event_log e SET body = CAST(jsonb_set(CAST(e.body AS jsonb), '{data,contact}', '{}') AS json)
    FROM (
        SELECT DISTINCT ON (subject) subject, lower(body #>> '{data,contact,email}') AS email
        FROM event_log WHERE subject = ANY(CAST(:ids AS text[])) ORDER BY subject, sequence DESC
    ) newest
    WHERE e.subject = newest.subject AND e.body #>> '{data,contact}' <> '{}'
        AND lower(e.body #>> '{data,contact,email}') IS DISTINCT FROM newest.email
    """
)
# A booking of an erased person that is somebody else's now was written anew: what it tells of them is shown again.
_REMEMBER = text(
    """
    UPDATE booking_summary SET forgotten = false, sequence = 0
    WHERE forgotten AND booking_id = ANY(CAST(:ids AS text[])) RETURNING booking_id
    """
)
_NEWEST_EVENTS = text(
    """
    SELECT DISTINCT ON (subject) CAST(body AS text) AS body FROM event_log
    WHERE subject = ANY(CAST(:ids AS text[])) ORDER BY subject, sequence DESC
    """
)
_FORGOTTEN_BEFORE = text(
    """
    UPDATE booking_user_before p SET forgotten = true FROM customer c
    WHERE c.user_id = p.user_id AND c.erased_at IS NOT NULL AND NOT p.forgotten
        AND p.booking_id = ANY(CAST(:ids AS text[]))
    """
)
# Links before summaries, as the consumer locks them.
_HISTORY = (_FORGOTTEN, _SUMMARIES, _EVENTS, _ITEMS, _VERDICTS, _DECISIONS)


async def forget_history(connection: AsyncConnection, ids: Sequence[str], *, columns: Sequence[str]) -> None:
    """Take the people of these bookings out; the legacy ``columns`` tell of people. The caller commits."""
    for captured in _CAPTURES:
        await connection.execute(captured, {"ids": ids, "columns": columns})
    for forgetting in _HISTORY:
        await connection.execute(forgetting, {"ids": ids})


async def forget_before(connection: AsyncConnection, *, others: Sequence[str], settled: Sequence[str]) -> None:
    """Take the people whose the bookings of ``others`` were before out of old versions. The caller commits.

    ``settled`` are all the bookings nothing is left in of those whose they were.
    """
    if others:
        await connection.execute(_EVENTS_OF_OTHERS, {"ids": others})
        await _remember(connection, others)
    await connection.execute(_FORGOTTEN_BEFORE, {"ids": settled})


async def _remember(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Take the newest versions of forgotten bookings that are somebody else's now into the read model once more."""
    anew = list((await connection.execute(_REMEMBER, {"ids": ids})).scalars())
    bodies = list((await connection.execute(_NEWEST_EVENTS, {"ids": anew})).scalars())
    events = [Event.model_validate_json(body) for body in bodies]
    rows = [{**booking_row(event), "sequence": event.sequence} for event in events]
    if rows:
        await connection.execute(KEEP_BOOKINGS, {name: [row[name] for row in rows] for name in rows[0]})
