"""What the live generation says: totals by ids, activity by user. One transaction each, so never of two generations."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts import UserTotalsSnapshot
from stats.projector import enter_reading
from stats.totals import snapshot_of, totals_of

# Each member of the person is read from its own end of the index, newest first, no further than the page needs.
# What a line says beside its time stands in the journal, found by the id that also names the partition.
_ACTIVITY = text(
    """
    WITH person AS (
        SELECT coalesce((SELECT m.canonical FROM merge_fact m WHERE m.user_id = :user_id),
                        CAST(:user_id AS uuid)) AS canonical
    ), member AS (
        SELECT canonical AS user_id FROM person
        UNION
        SELECT m.user_id FROM person p JOIN merge_fact m USING (canonical)
    ), line AS (
        SELECT l.* FROM member CROSS JOIN LATERAL (
            SELECT a.user_id, a.time, a.event_id, a.kind, a.booking_id FROM activity a
            WHERE a.user_id = member.user_id
              AND (CAST(:kinds AS text[]) IS NULL OR a.kind = ANY(CAST(:kinds AS text[])))
              AND (CAST(:since AS timestamptz) IS NULL OR a.time >= :since)
              AND (CAST(:until AS timestamptz) IS NULL OR a.time < :until)
              AND (CAST(:before_time AS timestamptz) IS NULL
                   OR (a.time, a.event_id) < (CAST(:before_time AS timestamptz), CAST(:before_id AS uuid)))
            ORDER BY a.time DESC, a.event_id DESC LIMIT :limit
        ) AS l
        ORDER BY l.time DESC, l.event_id DESC LIMIT :limit
    )
    SELECT l.event_id, l.user_id, l.kind, l.time, l.booking_id,
           CASE WHEN j.received IS NOT NULL THEN j.subject END AS payment_id,
           CASE WHEN j.received IS NULL THEN amount_text(j.amount, j.currency)
                ELSE minor_text(CASE j.type WHEN 'payment.succeeded' THEN j.received
                                            WHEN 'payment.refunded' THEN j.refunded
                                            WHEN 'payment.disputed' THEN j.disputed
                                            ELSE j.amount END, j.currency) END AS amount,
           j.currency
    FROM line l JOIN journal j USING (event_id)
    ORDER BY l.time DESC, l.event_id DESC
    """
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which activity: ``before`` is (time, event id) of the last line of the page before; ``until`` is exclusive."""

    kinds: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, UUID] | None = None
    limit: int = 50


async def totals(engine: AsyncEngine, users: Collection[UUID]) -> Mapping[UUID, UserTotalsSnapshot]:
    """Return totals by the ids asked for. A merged user's are those of whom it counts as; unknown users are absent."""
    async with engine.connect() as connection:
        await enter_reading(connection)
        rows = await totals_of(connection, users)
    found = {user: rows[rows[user]["canonical"]] for user in users}
    return {user: snapshot_of(row) for user, row in found.items() if is_known(row)}


def is_known(row: RowMapping) -> bool:
    """Say whether anything ever happened to the user."""
    return row["last_activity_date"] is not None


async def activity(engine: AsyncEngine, user_id: UUID, wanted: Wanted) -> Sequence[RowMapping]:
    """Return what happened to a person, newest first, merged users included."""
    async with engine.connect() as connection:
        await enter_reading(connection)
        rows = await connection.execute(_ACTIVITY, {"user_id": user_id, **_parameters(wanted)})
        return rows.mappings().all()


def _parameters(wanted: Wanted) -> dict[str, object]:
    before_time, before_id = wanted.before or (None, None)
    return {
        "kinds": list(wanted.kinds) if wanted.kinds else None,
        "since": wanted.since,
        "until": wanted.until,
        "before_time": before_time,
        "before_id": before_id,
        "limit": wanted.limit,
    }
