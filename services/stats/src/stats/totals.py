"""Totals of users: as the entered generation has them, and as they were last announced."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import CurrencyTotals, UserTotalsSnapshot
from shared.event_log import NewEvent
from stats.projector import sql

_TOTALS = text(sql("totals"))
# Only a user whose totals differ from what was last announced is written and returned. The sequence follows the
# clock, so that it goes on rising even after statistics were wiped and filled anew.
_ANNOUNCE = text(
    f"""
    INSERT INTO public.announced_totals AS t
        (user_id, sequence, total_bookings, currencies, first_booking_date, last_booking_date, last_activity_date)
    SELECT user_id, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint), total_bookings, currencies,
           first_booking_date, last_booking_date, last_activity_date
    FROM ({sql("totals")}) AS now
    ON CONFLICT (user_id) DO UPDATE SET
        sequence = greatest(t.sequence + 1, excluded.sequence),
        total_bookings = excluded.total_bookings,
        currencies = excluded.currencies,
        first_booking_date = excluded.first_booking_date,
        last_booking_date = excluded.last_booking_date,
        last_activity_date = excluded.last_activity_date
    WHERE (t.total_bookings, t.currencies, t.first_booking_date, t.last_booking_date, t.last_activity_date)
        IS DISTINCT FROM (excluded.total_bookings, excluded.currencies, excluded.first_booking_date,
                          excluded.last_booking_date, excluded.last_activity_date)
    RETURNING user_id, sequence, total_bookings, currencies, first_booking_date, last_booking_date, last_activity_date
    """  # noqa: S608 - a statement of ours
)


async def totals_of(connection: AsyncConnection, users: Collection[UUID]) -> dict[UUID, RowMapping]:
    """Return the totals the entered generation has for these users and those they were merged into."""
    rows = await connection.execute(_TOTALS, {"users": sorted(users)})
    return {row["user_id"]: row for row in rows.mappings()}


async def announce(connection: AsyncConnection, users: Collection[UUID]) -> list["ChangedTotals"]:
    """Note the totals of these users as announced; return those that differ from what was announced before."""
    if not users:
        return []
    changed = await connection.execute(_ANNOUNCE, {"users": sorted(users)})
    return [ChangedTotals(row["sequence"], snapshot_of(row)) for row in changed.mappings()]


def snapshot_of(row: RowMapping) -> UserTotalsSnapshot:
    """Return a row of totals as events and the API show it."""
    return UserTotalsSnapshot(
        user_id=str(row["user_id"]),
        total_bookings=row["total_bookings"],
        first_booking_date=row["first_booking_date"],
        last_booking_date=row["last_booking_date"],
        last_activity_date=row["last_activity_date"],
        currencies=[CurrencyTotals.model_validate(item) for item in row["currencies"]],
    )


@dataclass(frozen=True, slots=True)
class ChangedTotals:
    """A user's new totals."""

    sequence: int
    snapshot: UserTotalsSnapshot

    def event(self) -> NewEvent:
        """Return the announcement; its time is now, because that is when the totals became so."""
        return NewEvent(
            type="user_totals.changed",
            subject=self.snapshot.user_id,
            sequence=self.sequence,
            time=datetime.now(UTC),
            data=self.snapshot,
        )
