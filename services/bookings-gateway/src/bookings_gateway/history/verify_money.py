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
from bookings_gateway.history.paid_besides import review_paid_besides
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
           i.outcome,
           EXISTS (SELECT FROM import_verdict v
                   WHERE v.booking_id = i.booking_id AND v.code = 'amount_disagrees') AS waived
    FROM import_item i WHERE i.booking_id = ANY(CAST(:ids AS text[]))
    """
)
_PAYING_ITEMS = text(
    """
    SELECT booking_id FROM import_item WHERE outcome = 'published' AND class = ANY(CAST(:paying AS text[]))
    """
)
_REVIEW = text(
    """
    UPDATE import_item SET reviews = reviews || CAST('amount_disagrees' AS text)
    WHERE booking_id = ANY(CAST(:ids AS text[])) AND 'amount_disagrees' <> ALL(reviews)
    """
)
# A new disagreement will want a decision of its own.
_AGREED = text(
    """
    WITH agreed AS (
        DELETE FROM import_verdict WHERE code = 'amount_disagrees' AND booking_id <> ALL(CAST(:ids AS text[]))
    )
    UPDATE import_item SET reviews = array_remove(reviews, 'amount_disagrees')
    WHERE reviews <> '{}' AND 'amount_disagrees' = ANY(reviews) AND booking_id <> ALL(CAST(:ids AS text[]))
    """
)
# What a person gave to another booking is decided on; taken in here, for payments alone know of it.
_MATCHED = text(
    """
    WITH former AS (
        DELETE FROM import_verdict WHERE code = 'matched_by_hand' AND booking_id <> ALL(CAST(:ids AS text[]))
    )
    INSERT INTO import_verdict (booking_id, code, decided_by)
    SELECT booking_id, 'matched_by_hand', 'payments' FROM unnest(CAST(:ids AS text[])) AS booking_id
    ON CONFLICT (booking_id, code) DO NOTHING
    """
)
_USERS_OF = text(
    """
    SELECT booking_id, CAST(user_id AS text) AS user_id FROM booking_user
    WHERE booking_id = ANY(CAST(:ids AS text[]))
    """
)
MoneyKey = tuple[str, str, str]


@dataclass(slots=True)
class Line:
    """Money of one class, currency and local month: due by the rows, there as payments, and what explains the rest.

    By how much Stripe's own figures differ from the rows' is ``in_review`` until somebody decided on the booking, then
    ``waived``. A payment somebody canceled since is ``waived`` too. Both add up differences, be they more or less;
    ``settled`` is what the payments make of ``due``, each with the difference that is explained.
    """

    rows: int = 0
    due: Decimal = Decimal(0)
    due_refunded: Decimal = Decimal(0)
    payments: int = 0
    recorded: Decimal = Decimal(0)
    settled: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    in_review: Decimal = Decimal(0)
    waived: Decimal = Decimal(0)

    @property
    def balanced(self) -> bool:
        return (self.rows, self.due, self.due_refunded) == (self.payments, self.settled, self.refunded)

    def as_json(self) -> dict[str, Any]:
        sums = ("due", "due_refunded", "recorded", "refunded", "in_review", "waived")
        shown = {name: f"{getattr(self, name):.2f}" for name in sums}
        return {"rows": self.rows, "payments": self.payments, **shown, "balanced": self.balanced}


@dataclass(slots=True)
class MoneyChecks:
    """Lays every migrated payment beside its booking. ``missing`` are bookings whose payment was not seen.

    ``elsewhere``: those whose payment a person gave to another booking, or to none.
    """

    engine: AsyncEngine
    others: Others
    found: Findings
    lines: dict[MoneyKey, Line] = field(default_factory=lambda: defaultdict(Line))
    disagreeing: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Ask payments for every migrated payment, and lay it beside its booking. V6 is found on the way.

        Where Stripe and the row disagree, the booking becomes an entry of the error desk.
        """
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
        async with self.engine.begin() as connection:
            for mark in (_REVIEW, _AGREED):
                await connection.execute(mark, {"ids": self.disagreeing})
            await connection.execute(_MATCHED, {"ids": sorted(self.elsewhere)})
            await review_paid_besides(connection)

    async def _lay_beside(self, payments: Sequence[Mapping[str, Any]]) -> None:
        proved = [_proved_by(payment) for payment in payments]
        async with self.engine.connect() as connection:
            found = await connection.execute(_ITEMS_OF, {"ids": proved})
            items = {row["booking_id"]: row for row in found.mappings()}
            owners = await connection.execute(_USERS_OF, {"ids": [payment["booking_id"] for payment in payments]})
            users = {row.booking_id: row.user_id for row in owners}
        for payment, booking_id in zip(payments, proved, strict=True):
            if booking_id not in self.missing:
                self.found.wrong["V5"].append(str(booking_id))  # a second one, or of no booking that pays
                continue
            self.missing.discard(booking_id)
            if payment["booking_id"] != booking_id:
                self.elsewhere.add(booking_id)
            self.found.judge("V6", booking_id, ok=payment["user_id"] == users.get(payment["booking_id"]))
            self._count(payment, items[booking_id])

    def _count(self, payment: Mapping[str, Any], item: RowMapping) -> None:
        line = self.lines[item["class_"], item["currency"], _month(item["month"])]
        amount = _recorded(payment, item["currency"])
        line.payments += 1
        line.recorded += amount
        if payment["canceled"] or payment["told_by_stripe"]:
            self._explain(line, payment, item, item["amount"] - amount)
            return
        refunded = to_decimal(payment["refunded"], payment["currency"])
        line.settled += amount
        line.refunded += refunded
        is_right = (amount, refunded) == (item["amount"], item["amount"] if item["refunded"] else 0)
        self.found.judge("V5", item["booking_id"], ok=is_right)

    def _explain(self, line: Line, payment: Mapping[str, Any], item: RowMapping, difference: Decimal) -> None:
        """Stripe's word, and a person's, go before the row's: a difference waits at the desk, or was decided on."""
        line.settled += item["amount"]
        line.refunded += item["amount"] if item["refunded"] else 0
        if not payment["canceled"] and difference:
            self.disagreeing.append(item["booking_id"])
        if payment["canceled"] or item["waived"]:
            line.waived += abs(difference)
        else:
            line.in_review += abs(difference)

    def balance(self) -> Check:
        """Return V5: what this saw, and what the rows alone came to."""
        lines = self.lines.values()
        due, recorded = sum(line.due for line in lines), sum(line.recorded for line in lines)
        review, waived = sum(line.in_review for line in lines), sum(line.waived for line in lines)
        wrong = sorted({*self.found.wrong["V5"], *self.missing})
        balanced = all(line.balanced for line in lines) and not wrong
        claim = f"the money agrees to the penny, in each of {len(lines)} classes, currencies and months"
        actual = f"{recorded:,.2f} recorded" + (f" and {review:,.2f} in review by Stripe's figures" if review else "")
        actual += f" and {waived:,.2f} waived or canceled" if waived else ""
        return Check("V5", claim, f"{due:,.2f} due", actual, balanced, wrong[:MOST_ROWS], len(wrong))

    def as_json(self) -> list[dict[str, Any]]:
        """Return the lines, sums as exact decimal strings."""
        return [
            {"class": class_, "currency": currency, "month": month, **line.as_json()}
            for (class_, currency, month), line in sorted(self.lines.items())
        ]


def _proved_by(payment: Mapping[str, Any]) -> str:
    """The booking a payment is due by: its own, unless a person said that it is another's."""
    proved_by: str = (
        payment["proved_by"] if payment["matched_by_hand"] and payment["proved_by"] else payment["booking_id"]
    )
    return proved_by


def _recorded(payment: Mapping[str, Any], currency: str) -> Decimal:
    """What a payment amounts to. A pending one by what it is about: nothing came yet, and nothing is missing."""
    if payment["currency"] != currency or payment["canceled"]:
        return Decimal(0)
    received: int = payment["amount"] if payment["status"] == "pending" else payment["received"]
    return to_decimal(received, currency)


def _month(month: date | None) -> str:
    return month.strftime("%Y-%m") if month else ""
