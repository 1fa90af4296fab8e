"""Runs the projection's SQL over a slice of the journal: the same statements live and in a rebuild."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import CurrencyTotals, UserTotalsSnapshot
from shared.event_log import NewEvent

_APPLY_LOCK = 7_301_955_003

# One apply at a time: a group that brings a booking and one that brings its link would otherwise not see each
# other, and the contribution would be lost. Groups make the wait short.
_LOCK = text("SELECT pg_advisory_xact_lock(:key)")
_LIVE = text("SELECT set_config('search_path', schema || ',public', true) FROM generation WHERE live")


def _statement(name: str) -> TextClause:
    return text((resources.files("stats.projection") / f"{name}.sql").read_text())


_FACTS = [_statement(name) for name in ("bookings", "payments", "activity")]
_TOTALS = _statement("totals")


async def enter_live_generation(connection: AsyncConnection) -> None:
    """Take the apply lock and point this transaction at the live generation's tables."""
    await connection.execute(_LOCK, {"key": _APPLY_LOCK})
    await connection.execute(_LIVE)


async def enter_reading(connection: AsyncConnection) -> None:
    """Point this transaction at the live generation's tables, for reading."""
    await connection.execute(_LIVE)


async def apply_slice(connection: AsyncConnection, numbers: Sequence[int]) -> list["ChangedTotals"]:
    """Fold the journal rows of these numbers into the current generation; the caller holds the apply lock.

    Returns the users whose totals changed. Any order of slices, and any slice twice, gives the same totals.
    """
    touched: set[UUID] = set()
    for statement in _FACTS:
        touched.update((await connection.execute(statement, {"numbers": list(numbers)})).scalars())
    changed = await connection.execute(_TOTALS, {"users": sorted(touched)})
    return [ChangedTotals.of(row) for row in changed.mappings()]


@dataclass(frozen=True, slots=True)
class ChangedTotals:
    """A user's new totals."""

    sequence: int
    snapshot: UserTotalsSnapshot

    @classmethod
    def of(cls, row: RowMapping) -> "ChangedTotals":
        currencies: list[dict[str, Any]] = row["currencies"]
        return cls(
            sequence=row["sequence"],
            snapshot=UserTotalsSnapshot(
                user_id=str(row["user_id"]),
                total_bookings=row["total_bookings"],
                first_booking_date=row["first_booking_date"],
                last_booking_date=row["last_booking_date"],
                last_activity_date=row["last_activity_date"],
                currencies=[CurrencyTotals.model_validate(item) for item in currencies],
            ),
        )

    def event(self) -> NewEvent:
        """Return the announcement; its time is now, because that is when the totals became so."""
        return NewEvent(
            type="user_totals.changed",
            subject=self.snapshot.user_id,
            sequence=self.sequence,
            time=datetime.now(UTC),
            data=self.snapshot,
        )
