"""Each user's totals as stats says them, in both meanings, beside the customer's own sums over the table."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.history.checks import Check, Findings
from bookings_gateway.history.others import Others, Sums
from bookings_gateway.history.source import STEADY, Source
from shared.money import to_decimal

_SPENT = """
    SELECT CAST(u.user_id AS text) AS user_id, count(*) AS bookings, coalesce(sum({amount}), 0) AS spent
    FROM gateway.booking_user u JOIN {table} b ON CAST(b.{id} AS text) = u.booking_id
    WHERE u.user_id IS NOT NULL GROUP BY u.user_id
"""
# As the snapshot reads it: by the digits a row shows, exactly, and not at all what the contract cannot carry.
_AMOUNT = """
    CASE WHEN CAST(b.{final_amount} AS text) NOT IN ('NaN', 'Infinity', '-Infinity') THEN (
        SELECT n.amount FROM (SELECT CAST(CAST(b.{final_amount} AS text) AS numeric) AS amount) n
        WHERE scale(trim_scale(n.amount)) <= 4 AND abs(n.amount) < 1e16
    ) END
"""
_PAID = text(
    """
    SELECT CAST(u.user_id AS text) AS user_id, sum(p.received) AS received
    FROM booking_payment p JOIN booking_user u USING (booking_id)
    WHERE p.currency = :currency AND u.user_id IS NOT NULL GROUP BY u.user_id
    """
)


@dataclass(slots=True)
class Due:
    """What a user's totals must be: of themselves, and of whoever was merged into them."""

    bookings: int = 0
    spent: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)

    def add(self, other: "Due") -> None:
        self.bookings += other.bookings
        self.spent += other.spent
        self.paid += other.paid


async def check_totals(engine: AsyncEngine, source: Source, others: Others, *, currency: str) -> list[Check]:
    """Compare every user's totals; a merged user's count for whom they were merged into.

    No transaction is open while stats is asked: of a million users that takes minutes.
    """
    async with engine.connect() as connection:
        due = await _due(connection, source, currency)
    said = await others.totals(due)
    wanted: dict[str, Due] = defaultdict(Due)
    for user, sums in due.items():
        wanted[said[user].user if user in said else user].add(sums)
    by_canonical = {each.user: each for each in said.values()}
    found = Findings()
    for user, sums in wanted.items():
        _judge(found, user, sums, by_canonical.get(user), currency)
    return [
        found.check("V8 spent", "each user's bookings and total_spent are the customer's own sums", nouns="users"),
        found.check("V8 paid", "each user's total_paid is the sum of the payments", nouns="users"),
    ]


def _judge(found: Findings, user: str, due: Due, said: Sums | None, currency: str) -> None:
    if said is None:
        found.wrong["V8 spent"].append(user)
        found.wrong["V8 paid"].append(user)
        return
    spent, paid = said.spent.get(currency, Decimal(0)), said.paid.get(currency, Decimal(0))
    found.judge("V8 spent", user, ok=(said.bookings, spent) == (due.bookings, due.spent))
    found.judge("V8 paid", user, ok=paid == due.paid)


async def _due(connection: AsyncConnection, source: Source, currency: str) -> dict[str, Due]:
    amount = _AMOUNT if source.table.layout.final_amount else "0"
    due: dict[str, Due] = {}
    await connection.execute(STEADY)
    for row in await connection.execute(source.statement(_SPENT.replace("{amount}", amount))):
        due[row.user_id] = Due(row.bookings, Decimal(row.spent))
    for row in await connection.execute(_PAID, {"currency": currency}):
        due.setdefault(row.user_id, Due()).paid = to_decimal(int(row.received), currency)
    return due
