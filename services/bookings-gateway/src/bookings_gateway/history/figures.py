"""The figures of the move that take a look at the whole ledger, counted now and then and told with their age."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.history.counts import Counts
from bookings_gateway.history.desk import open_by_code
from bookings_gateway.history.move import History
from bookings_gateway.history.progress import Counted, count
from shared.money import to_decimal

_LEAST_SECONDS = 5.0
_TIMES = 20.0

# The document's metrics, and the money. A booking that is gone is no booking with a user; people are users that were
# not merged into others, whether they have bookings left or not.
_METRICS = """
    SELECT (SELECT count(*) FROM gateway.booking_user u JOIN {table} b ON CAST(b.{id} AS text) = u.booking_id
            WHERE u.user_id IS NOT NULL) AS with_users,
           (SELECT count(*) FROM gateway.customer WHERE user_sequence > 0 AND canonical_id IS NULL) AS users
"""
_MONEY = text(
    """
    SELECT currency, count(*) AS payments, sum(received) AS received, sum(refunded) AS refunded
    FROM booking_payment WHERE migrated AND status IN ('succeeded', 'pending') GROUP BY currency ORDER BY currency
    """
)


class Sparing:
    """When a look that costs something is due again: after five seconds, or twenty times as long as it took."""

    def __init__(self) -> None:
        self._due = 0.0

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._due

    def looked(self, started: float) -> None:
        """Say that a look that started then has ended."""
        now = time.monotonic()
        self._due = now + max(_LEAST_SECONDS, _TIMES * (now - started))


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted, and when by this process's clock."""

    bookings: Counted
    told: dict[str, Any]
    at: float

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.at


@dataclass(slots=True)
class Latest:
    """The latest figures, for any number of people who look."""

    history: History
    _figures: Figures | None = None
    _sparing: Sparing = field(default_factory=Sparing)
    _counting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, connection: AsyncConnection) -> Figures:
        """Return the figures; count anew when that is due, once for everybody."""
        async with self._counting:
            if self._figures is None or self._sparing.is_due:
                started = time.monotonic()
                self._figures = await self._count(connection, started)
                self._sparing.looked(started)
            return self._figures

    async def _count(self, connection: AsyncConnection, started: float) -> Figures:
        source = await self.history.source(connection)
        bookings = await count(connection, source)
        counts = await Counts.from_ledger(connection)
        metrics = (await connection.execute(source.statement(_METRICS))).one()
        money = (await connection.execute(_MONEY)).mappings().all()
        told = {
            "bookingsWithUsers": metrics.with_users,
            "totalUsers": metrics.users,
            "money": [{**sums, **{name: _amount(sums, name) for name in ("received", "refunded")}} for sums in money],
            "classes": dict(counts.classes),
            "errors": await open_by_code(connection),
        }
        return Figures(bookings, told, started)


def _amount(sums: RowMapping, name: str) -> str:
    return str(to_decimal(int(sums[name]), sums["currency"]))
