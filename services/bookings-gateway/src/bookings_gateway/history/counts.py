"""What a dry run predicts and the ledger must then say: the same counts, added up in two ways."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.history.contacts import USABLE
from bookings_gateway.history.evidence import PAYING
from bookings_gateway.history.items import Item

_BY = text(
    """
    SELECT outcome, code, class AS class_, contact, status, reviews, currency, to_char(month, 'YYYY-MM') AS month,
           count(*) AS rows, coalesce(sum(amount), 0) AS amount,
           coalesce(sum(amount) FILTER (WHERE refunded), 0) AS refunded
    FROM import_item WHERE outcome <> 'withdrawn'
    GROUP BY outcome, code, class, contact, status, reviews, currency, to_char(month, 'YYYY-MM')
    """
)


@dataclass(slots=True)
class Counts:
    """How many bookings of each kind. ``money`` is by class, currency and local month: rows, amount, refunded."""

    total: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    contacts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    reviews: Counter[str] = field(default_factory=Counter)
    money: dict[tuple[str, str, str], "Money"] = field(default_factory=dict)

    @classmethod
    def of(cls, items: Iterable[Item]) -> "Counts":
        counts = cls()
        for item in items:
            counts.add(item)
        return counts

    @classmethod
    async def from_ledger(cls, connection: AsyncConnection) -> "Counts":
        """Return the counts of what the ledger says."""
        counts = cls()
        for row in await connection.execute(_BY):
            kind = _Kind(row.outcome, row.code, row.contact, row.status, row.reviews)
            counts._count(kind, row.class_, row.rows)
            if row.class_ in PAYING:
                key = (row.class_, row.currency, row.month)
                counts.money.setdefault(key, Money()).add(row.rows, row.amount, row.refunded)
        return counts

    def add(self, item: Item) -> None:
        """Count one more."""
        kind = _Kind(item.outcome, item.code, item.contact, item.status, item.reviews)
        self._count(kind, item.class_, 1)
        if item.month is not None and item.amount is not None:
            key = (str(item.class_), item.currency, item.month.isoformat()[:7])
            self.money.setdefault(key, Money()).add(1, item.amount, item.amount if item.refunded else Decimal(0))

    def _count(self, kind: "_Kind", class_: str, rows: int) -> None:
        self.total += rows
        self.outcomes[kind.outcome] += rows
        if kind.code:
            self.reviews[kind.code] += rows
        if kind.outcome != "published":
            return
        self.classes[str(class_)] += rows
        self.contacts[str(kind.contact)] += rows
        self.statuses[kind.status if kind.status is not None else "(none)"] += rows
        for review in kind.reviews:
            self.reviews[str(review)] += rows

    @property
    def placeholders(self) -> int:
        """Bookings that get a user of their own, because nobody can be told from their contact."""
        return sum(rows for contact, rows in self.contacts.items() if contact not in USABLE)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON, sums as exact decimal strings."""
        return {
            "total": self.total,
            **{name: dict(sorted(getattr(self, name).items())) for name in _NAMES},
            "placeholders": self.placeholders,
            "money": [
                {"class": class_, "currency": currency, "month": month, **money.as_json()}
                for (class_, currency, month), money in sorted(self.money.items())
            ],
        }


_NAMES = ("outcomes", "classes", "contacts", "statuses", "reviews")


@dataclass(slots=True)
class Money:
    """Rows, what they amount to, and what of it was given back."""

    rows: int = 0
    amount: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)

    def add(self, rows: int, amount: Decimal, refunded: Decimal) -> None:
        self.rows += rows
        self.amount += amount
        self.refunded += refunded

    def as_json(self) -> Mapping[str, Any]:
        return {"rows": self.rows, "amount": f"{self.amount:.2f}", "refunded": f"{self.refunded:.2f}"}


@dataclass(frozen=True, slots=True)
class _Kind:
    outcome: str
    code: str | None
    contact: str
    status: str | None
    reviews: Iterable[str]
