"""The money: what the rows amount to beside what payments recorded, class by class and month by month."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.history.checks import MOST_ROWS, Check, Findings
from bookings_gateway.history.evidence import PAYING
from bookings_gateway.history.others import Others
from shared.money import to_decimal

_PAGE = 2_000

_DUE_MONEY = text(
    """
    SELECT class AS class_, currency, month, count(*) AS rows, sum(amount) AS amount,
           coalesce(sum(amount) FILTER (WHERE refunded), 0) AS refunded
    FROM import_item WHERE outcome = 'published' AND class = ANY(CAST(:paying AS text[]))
    GROUP BY class, currency, month
    """
)
_ITEMS_OF = text(
    """
    SELECT i.booking_id, i.class AS class_, i.currency, i.month, i.amount, i.refunded,
           CAST(u.user_id AS text) AS user_id, i.outcome
    FROM import_item i LEFT JOIN booking_user u USING (booking_id) WHERE i.booking_id = ANY(CAST(:ids AS text[]))
    """
)
_PAYING_ITEMS = text(
    """
    SELECT booking_id FROM import_item WHERE outcome = 'published' AND class = ANY(CAST(:paying AS text[]))
    """
)
MoneyKey = tuple[str, str, str]


@dataclass(slots=True)
class Line:
    """Money of one class, currency and local month: due by the rows, there as payments, and by Stripe otherwise.

    ``in_review`` is by how much Stripe's own figures differ from the rows', each such payment in review.
    """

    rows: int = 0
    due: Decimal = Decimal(0)
    due_refunded: Decimal = Decimal(0)
    payments: int = 0
    recorded: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    in_review: Decimal = Decimal(0)

    @property
    def balanced(self) -> bool:
        return (self.rows, self.due, self.due_refunded) == (
            self.payments,
            self.recorded + self.in_review,
            self.refunded,
        )

    def as_json(self) -> dict[str, Any]:
        sums = ("due", "due_refunded", "recorded", "refunded", "in_review")
        shown = {name: f"{getattr(self, name):.2f}" for name in sums}
        return {"rows": self.rows, "payments": self.payments, **shown, "balanced": self.balanced}


@dataclass(slots=True)
class MoneyChecks:
    """Lays every migrated payment beside its booking. ``missing`` are bookings whose payment was not seen."""

    engine: AsyncEngine
    others: Others
    found: Findings
    lines: dict[MoneyKey, Line] = field(default_factory=lambda: defaultdict(Line))
    disagreeing: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)

    async def run(self) -> Check:
        """Ask payments for every migrated payment; return the balance. V6 is found on the way."""
        async with self.engine.connect() as connection:
            for row in await connection.execute(_DUE_MONEY, {"paying": list(PAYING)}):
                line = self.lines[row.class_, row.currency, _month(row.month)]
                line.rows, line.due, line.due_refunded = row.rows, row.amount, row.refunded
            self.missing = set((await connection.execute(_PAYING_ITEMS, {"paying": list(PAYING)})).scalars())
        page: list[dict[str, Any]] = []
        async for payment in self.others.payments():
            page.append(payment)
            if len(page) == _PAGE:
                await self._lay_beside(page)
                page = []
        await self._lay_beside(page)
        return self._balance()

    async def _lay_beside(self, payments: Sequence[Mapping[str, Any]]) -> None:
        async with self.engine.connect() as connection:
            found = await connection.execute(_ITEMS_OF, {"ids": [payment["booking_id"] for payment in payments]})
            items = {row["booking_id"]: row for row in found.mappings()}
        for payment in payments:
            booking_id = payment["booking_id"]
            if booking_id not in self.missing:
                self.found.wrong["V5"].append(str(booking_id))  # a second one, or of no booking that pays
                continue
            self.missing.discard(booking_id)
            self.found.judge("V6", booking_id, ok=payment["user_id"] == items[booking_id]["user_id"])
            self._count(payment, items[booking_id])

    def _count(self, payment: Mapping[str, Any], item: RowMapping) -> None:
        """Pending ones count by what they are about: nothing was received yet, and nothing is missing."""
        line = self.lines[item["class_"], payment["currency"], _month(item["month"])]
        minor = payment["received"] if payment["status"] == "succeeded" else payment["amount"]
        amount = to_decimal(minor, payment["currency"])
        line.payments += 1
        line.recorded += amount
        if payment["told_by_stripe"]:
            line.in_review += item["amount"] - amount
            line.refunded += item["amount"] if item["refunded"] else 0
            if amount != item["amount"]:
                self.disagreeing.append(item["booking_id"])
        else:
            line.refunded += to_decimal(payment["refunded"], payment["currency"])

    def _balance(self) -> Check:
        lines = self.lines.values()
        due, recorded = sum(line.due for line in lines), sum(line.recorded for line in lines)
        review = sum(line.in_review for line in lines)
        wrong = sorted([*self.found.wrong["V5"], *self.missing])
        balanced = all(line.balanced for line in lines) and not wrong
        claim = f"the money agrees to the penny, in each of {len(lines)} classes, currencies and months"
        actual = f"{recorded:,.2f} recorded" + (f" and {review:,.2f} in review by Stripe's figures" if review else "")
        return Check("V5", claim, f"{due:,.2f} due", actual, balanced, wrong[:MOST_ROWS], len(wrong))

    def as_json(self) -> list[dict[str, Any]]:
        """Return the lines, sums as exact decimal strings."""
        return [
            {"class": class_, "currency": currency, "month": month, **line.as_json()}
            for (class_, currency, month), line in sorted(self.lines.items())
        ]


def _month(month: date | None) -> str:
    return month.strftime("%Y-%m") if month else ""
