"""Whether what came of it is right: totals by the customer's own SQL, money by what was paid and given back."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from local_stack.demo_clients import Clients, Json
from local_stack.demo_deals import Deal, Money
from local_stack.services import GATEWAY

_SETTLE_SECONDS = 15.0
_POLL_SECONDS = 0.1

# The statement by which the customer computes statistics over the legacy table (their document, 3.1).
_CUSTOMERS_SQL = """
    SELECT user_id::text, COUNT(*) AS bookings, SUM("finalAmount") AS spent,
           MIN("createdAt") AS first, MAX("createdAt") AS last
    FROM bookings WHERE user_id IS NOT NULL GROUP BY user_id
"""


@dataclass(frozen=True)
class Totals:
    """What the customer's statement computes of one user."""

    bookings: int
    spent: Decimal
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Person:
    """One of the demo's users: what this system says, and what it should say."""

    name: str
    totals: Totals
    money: Money
    due: Totals
    money_due: Money

    @property
    def is_right(self) -> bool:
        return self.totals == self.due and self.money == self.money_due


@dataclass(frozen=True)
class Result:
    """The listing, newest first, the demo's users, and every difference found as a sentence."""

    rows: Sequence[Json]
    people: Sequence[Person]
    users: int
    differences: Sequence[str]


async def checked(clients: Clients, deals: Sequence[Deal]) -> Result:
    """Compare until nothing differs, but not for long: somebody else's events may still be on their way."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        result = await _compare(clients, deals)
        if not result.differences or time.monotonic() > deadline:
            return result
        await asyncio.sleep(_POLL_SECONDS)


async def _compare(clients: Clients, deals: Sequence[Deal]) -> Result:
    rows = await clients.bookings()
    due = {row["user_id"]: Totals(*list(row)[1:]) for row in await clients.databases[GATEWAY].fetch(_CUSTOMERS_SQL)}
    users = {deal.user_id: [other for other in deals if other.user_id == deal.user_id] for deal in deals}
    people = [await _person(clients, own, due[user_id]) for user_id, own in users.items()]
    return Result(rows, people, len(due), [*_in_listing(rows, due), *_in_statistics(people)])


async def _person(clients: Clients, deals: Sequence[Deal], due: Totals) -> Person:
    told = await clients.totals(deals[0].user_id) or {"currencies": []}
    totals = Totals(
        told["total_bookings"],
        sum((Decimal(sums["total_spent"]) for sums in told["currencies"]), Decimal(0)),
        datetime.fromisoformat(told["first_booking_date"]),
        datetime.fromisoformat(told["last_booking_date"]),
    )
    before = deals[0].before
    money_due = Money(
        before.paid + sum(deal.amount for deal in deals if deal.paid),
        before.refunded + sum(deal.refunded for deal in deals),
    )
    return Person(deals[0].name, totals, Money.of(told), due, money_due)


def _in_listing(rows: Sequence[Json], due: Mapping[str, Totals]) -> list[str]:
    shown = {row["user"]["id"]: row["user"] for row in rows if row["user"]}
    wanted = {
        id_: {"id": id_, "totalBookings": own.bookings, "totalSpent": f"{own.spent:.2f}"} for id_, own in due.items()
    }
    return [
        f"The listing shows {shown.get(id_)} where the customer's SQL computes {wanted.get(id_)}."
        for id_ in sorted(shown.keys() | wanted.keys())
        if shown.get(id_) != wanted.get(id_)
    ]


def _in_statistics(people: Sequence[Person]) -> list[str]:
    return [
        f"stats says {person.totals} and {person.money} of {person.name}; due are {person.due} and {person.money_due}."
        for person in people
        if not person.is_right
    ]
