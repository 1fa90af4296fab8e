"""Captured changes no event could be made of: nobody else hears of them, so whose they are is known by the address."""

from collections.abc import Sequence
from datetime import tzinfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.domain import Layout
from bookings_gateway.rewritten import booked_by

_PAGE = 500

_NEXT = text(
    """
    SELECT seq, CAST(row AS text) AS body FROM booking_change_failed WHERE person IS NULL ORDER BY seq LIMIT :page
    FOR UPDATE SKIP LOCKED
    """
)
_TELL = text(
    """
    UPDATE booking_change_failed f SET person = n.person, booked_at = n.booked_at
    FROM unnest(CAST(:seqs AS bigint[]), CAST(:persons AS bytea[]), CAST(:times AS timestamptz[]))
        AS n (seq, person, booked_at)
    WHERE f.seq = n.seq
    """
)
_FORGET = text(
    """
    UPDATE booking_change_failed f SET person = '', error = split_part(error, ':', 1), row = (
        SELECT json_object_agg(key, value) FROM json_each(row) WHERE key <> ALL (CAST(:columns AS text[])))
    FROM customer c
    WHERE c.erased_digest = f.person AND f.booking_id = ANY(CAST(:ids AS text[]))
        AND coalesce(f.booked_at, '-infinity') <= c.erased_at
    """
)


async def tell_persons(connection: AsyncConnection, layout: Layout, zone: tzinfo) -> None:
    """Note whose the changes are that were set aside since. The caller commits."""
    while rows := (await connection.execute(_NEXT, {"page": _PAGE})).all():
        told = [booked_by(row.body, layout, zone) for row in rows]
        columns = {
            "seqs": [row.seq for row in rows],
            "persons": [digest or b"" for digest, _ in told],
            "times": [time for _, time in told],
        }
        await connection.execute(_TELL, columns)


async def forget_failed(connection: AsyncConnection, ids: Sequence[str], *, columns: Sequence[str]) -> None:
    """Take erased people out of the changes of these bookings that are theirs, be the booking somebody else's."""
    await connection.execute(_FORGET, {"ids": list(ids), "columns": list(columns)})
