"""Captured changes no event could be made of, as the error desk has them: named by their number, ``change:17``."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

_PREFIX = "change:"

_SHOW = text(
    """
    SELECT 'change:' || seq AS id, booking_id, CAST(op AS text) AS op, 'set_aside' AS outcome,
           'change_unreadable' AS code, error AS detail, CAST(row AS text) AS row, changed_at, failed_at
    FROM booking_change_failed WHERE 'change:' || seq = :id
    """
)
_DROP = text(
    """
    DELETE FROM booking_change_failed WHERE 'change:' || seq = ANY(CAST(:ids AS text[]))
    RETURNING 'change:' || seq AS id, CAST(op AS text) AS op, booking_id
    """
)
# A change goes back under its own number, in front of what came after it, unless that was told meanwhile: by a later
# change, or by the import, which read the row as it then was. Runs in capture's turn, as a statement of its own after
# it: no event is made meanwhile, and a writer still open gets a higher number than any here.
_PUT_BACK = text(
    """
    WITH asked AS (
        DELETE FROM booking_change_failed WHERE 'change:' || seq = ANY(CAST(:ids AS text[])) RETURNING *
    ), back AS (
        INSERT INTO booking_change (seq, op, booking_id, row, changed_at) OVERRIDING SYSTEM VALUE
        SELECT b.seq, b.op, b.booking_id, b.row, b.changed_at FROM asked b
        WHERE NOT EXISTS (SELECT FROM event_log l WHERE l.subject = b.booking_id AND l.time > b.changed_at)
          AND NOT EXISTS (SELECT FROM booking_change c WHERE c.booking_id = b.booking_id AND c.seq > b.seq)
          AND NOT EXISTS (SELECT FROM import_item i WHERE i.booking_id = b.booking_id AND i.outcome = 'published'
                                                      AND i.imported_at > b.failed_at)
        RETURNING seq
    )
    SELECT 'change:' || seq AS id, seq IN (SELECT seq FROM back) AS is_back FROM asked ORDER BY seq
    """
)


def is_change(id_: str) -> bool:
    """Whether an entry of the desk is a change, and not a booking."""
    return id_.startswith(_PREFIX)


async def show(connection: AsyncConnection, id_: str) -> RowMapping | None:
    """Return a change with the row it told of, as JSON text."""
    return (await connection.execute(_SHOW, {"id": id_})).mappings().one_or_none()


async def drop(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Give changes up; return what each was, by its id. The caller commits."""
    dropped = (await connection.execute(_DROP, {"ids": list(ids)})).all()
    return {row.id: {"booking_id": row.booking_id, "op": row.op} for row in dropped}


async def put_back(connection: AsyncConnection, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Have changes captured again; return those, and those a newer version made needless.

    The caller holds capture's turn, and commits.
    """
    rows = (await connection.execute(_PUT_BACK, {"ids": list(ids)})).all()
    return [row.id for row in rows if row.is_back], [row.id for row in rows if not row.is_back]
