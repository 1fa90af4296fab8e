"""Each user's totals as stats says them, in both meanings, beside the customer's own sums over the table."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.history.checks import Check, Findings
from bookings_gateway.history.others import Others, Sums
from bookings_gateway.history.source import STEADY, Source
from shared.money import to_decimal

# Whoever has no booking left, or never kept one, is to have nought.
_SPENT = """
    SELECT CAST(u.user_id AS text) AS user_id, count(b.{id}) AS bookings, coalesce(sum({amount}), 0) AS spent
    FROM gateway.booking_user u LEFT JOIN {table} b ON CAST(b.{id} AS text) = u.booking_id
    WHERE u.user_id IS NOT NULL GROUP BY u.user_id
    UNION ALL
    SELECT DISTINCT CAST(p.user_id AS text), 0, 0 FROM gateway.booking_user_before p
    WHERE NOT EXISTS (SELECT FROM gateway.booking_user u WHERE u.user_id = p.user_id)
"""
# As the snapshot reads it: by the digits a row shows, exactly, and not at all what the contract cannot carry.
_AMOUNT = """
    CASE WHEN CAST(b.{final_amount} AS text) NOT IN ('NaN', 'Infinity', '-Infinity') THEN (
        SELECT n.amount FROM (SELECT CAST(CAST(b.{final_amount} AS text) AS numeric) AS amount) n
        WHERE scale(trim_scale(n.amount)) <= 4 AND abs(n.amount) < 1e16
    ) END
"""
_PAID_HERE = text(
    """
    SELECT CAST(u.user_id AS text) AS user_id, sum(p.received) AS received
    FROM booking_payment p JOIN booking_user u USING (booking_id)
    WHERE p.currency = :currency AND u.user_id IS NOT NULL GROUP BY u.user_id
    """
)


@dataclass(slots=True)
class Due:
    """What a user's totals must be: of themselves, and of whoever was merged into them.

    ``paid_here`` is what this service was told they paid, the rest of the money is payments' own word.
    """

    bookings: int = 0
    spent: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    paid_here: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    net: Decimal = Decimal(0)
    first: datetime | None = None
    last: datetime | None = None

    def add(self, other: "Due") -> None:
        self.bookings += other.bookings
        self.spent += other.spent
        self.paid += other.paid
        self.paid_here += other.paid_here
        self.refunded += other.refunded
        self.net += other.net
        for moment in (other.first, other.last):
            if moment:
                self.booked(moment)

    def booked(self, moment: datetime) -> None:
        """Take in when a booking was made: in UTC, for in its zone a time that a clock shows twice equals no other."""
        moment = moment.astimezone(UTC)
        self.first = min(self.first or moment, moment)
        self.last = max(self.last or moment, moment)


@dataclass(slots=True)
class Totals:
    """What is due by the table and the payments, and what stats says of it."""

    currency: str
    due: dict[str, Due] = field(default_factory=dict)
    said: Mapping[str, Sums] = field(default_factory=dict)

    async def ask(self, engine: AsyncEngine, source: Source, others: Others) -> None:
        """Gather both sides. No transaction is open while others are asked: of a million users that takes minutes."""
        async with engine.connect() as connection:
            await self._take_sums(connection, source)
        async for payer in others.payers():
            self._take_payer(payer)
        self.said = await others.totals(filter(_can_be_asked, self.due), currency=self.currency)

    async def _take_sums(self, connection: AsyncConnection, source: Source) -> None:
        amount = _AMOUNT if source.table.layout.final_amount else "0"
        await connection.execute(STEADY)
        for row in await connection.execute(source.statement(_SPENT.replace("{amount}", amount))):
            self.due[row.user_id] = Due(row.bookings, Decimal(row.spent))
        for row in await connection.execute(_PAID_HERE, {"currency": self.currency}):
            self.due.setdefault(row.user_id, Due()).paid_here = to_decimal(int(row.received), self.currency)

    def _take_payer(self, payer: Mapping[str, object]) -> None:
        due = self.due.setdefault(str(payer["id"]), Due())
        for sums in payer["currencies"]:  # type: ignore[attr-defined]
            if sums["currency"] == self.currency:
                due.paid, due.refunded, due.net = (
                    to_decimal(sums[name], self.currency) for name in ("received", "refunded", "net")
                )

    def checks(self, rows: Mapping[str, Due]) -> list[Check]:
        """Compare every user's totals; a merged user's count for whom they were merged into.

        ``rows``: of each user when their bookings were made, and by how much a correction changed what was told.
        """
        wanted: dict[str, Due] = defaultdict(Due)
        for side in (self.due, rows):
            for user, due in side.items():
                wanted[self.said[user].user if user in self.said else user].add(due)
        by_canonical = {each.user: each for each in self.said.values()}
        found = Findings()
        for user, due in wanted.items():
            _judge(found, user, due, by_canonical.get(user) or _nothing(user))
        return [
            found.check("V8 spent", "each user's bookings and total_spent are the customer's own sums", nouns="users"),
            found.check("V8 paid", "each user's money paid, refunded and net is that of the payments", nouns="users"),
            found.check("V8 dates", "each user's first and last bookings are those of the table", nouns="users"),
        ]


def _judge(found: Findings, user: str, due: Due, said: Sums) -> None:
    found.judge("V8 spent", user, ok=(said.bookings, said.spent) == (due.bookings, due.spent))
    money = (said.paid, said.paid, said.refunded, said.net)
    found.judge("V8 paid", user, ok=money == (due.paid, due.paid_here, due.refunded, due.net))
    found.judge("V8 dates", user, ok=(said.first, said.last) == (due.first, due.last))


def _nothing(user: str) -> Sums:
    """What stats says of those it knows nothing of."""
    nought = Decimal(0)
    return Sums(user, 0, None, None, nought, nought, nought, nought)


def _can_be_asked(user: str) -> bool:
    """Whether stats takes it for a user's id; of any other it knows nothing."""
    try:
        UUID(user)
    except ValueError:
        return False
    return True
