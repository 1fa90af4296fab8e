"""What statistics must be: a fold in plain Python, written without looking at the projection; and what they are."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.events import Event


@dataclass
class Person:
    """One person's statistics: money by currency as (spent, paid, refunded, disputed)."""

    bookings: int = 0
    money: dict[str, list[Decimal]] = field(default_factory=lambda: defaultdict(lambda: [Decimal(0)] * 4))
    dates: list[datetime] = field(default_factory=list)
    activity: set[str] = field(default_factory=set)
    times: list[datetime] = field(default_factory=list)
    booked: set[str] = field(default_factory=set)

    def summary(self) -> Any:
        money = {name: tuple(sums) for name, sums in self.money.items() if any(sums) or name in self.booked}
        first, last = (min(self.dates), max(self.dates)) if self.dates else (None, None)
        return self.bookings, money, first, last, max(self.times, default=None), frozenset(self.activity)


def fold(events: Iterable[Event]) -> dict[str, Any]:
    """Return statistics by person: the newest version of everything, then one loop over each kind of thing."""
    unique = list({event.id: event for event in events}.values())
    bookings = _newest(unique, "booking.")
    links = _newest(unique, "user.booking_linked")
    payments = _newest(unique, "payment.")
    merges = {**_newest(unique, "user.merged", "user.unmerged")}
    owner = {subject: event.data["user_id"] for subject, event in links.items()}
    people: dict[str, Person] = defaultdict(Person)

    def person(user: str) -> Person:
        return people[_root(user, merges)]

    for subject, event in bookings.items():
        if subject in owner and event.type != "booking.deleted":
            one = person(owner[subject])
            one.bookings += 1
            one.booked.add(event.data["currency"])
            one.money[event.data["currency"]][0] += Decimal(event.data["final_amount"] or 0)
            one.dates.append(datetime.fromisoformat(event.data["created_at"]))
    for event in payments.values():
        user = owner.get(event.data["booking_id"] or "")
        if user:
            sums = person(user).money[event.data["currency"]]
            for place, name in enumerate(("received", "refunded", "disputed"), start=1):
                sums[place] += Decimal(event.data[name]) / 100
    for event in unique:
        booking = event.data.get("booking_id")
        user = owner.get(booking) if booking else (event.data.get("user_id") if "user" in event.type else None)
        if user:
            person(user).activity.add(str(event.id))
            person(user).times.append(event.time)
    return {user: one.summary() for user, one in people.items()}


def _newest(events: Iterable[Event], *prefixes: str) -> dict[str, Event]:
    newest: dict[str, Event] = {}
    for event in events:
        if event.type.startswith(prefixes):
            known = newest.get(event.subject)
            if known is None or event.sequence > known.sequence:
                newest[event.subject] = event
    return newest


def _root(user: str, merges: dict[str, Event]) -> str:
    """Whom a user counts as. In a circle, which only lasts while events are missing, the smallest of it."""
    path = [user]
    while path[-1] in merges and merges[path[-1]].data["merged_into"]:
        target = merges[path[-1]].data["merged_into"]
        if target in path:
            return min(path[path.index(target) :])
        path.append(target)
    return path[-1]


_SUMS = """
    SELECT coalesce(m.canonical, t.user_id)::text AS user_id, t.currency, sum(bookings)::int AS bookings,
           sum(spent) AS spent, sum(paid) / 100 AS paid, sum(refunded) / 100 AS refunded,
           sum(disputed) / 100 AS disputed
    FROM {schema}.currency_totals t LEFT JOIN {schema}.merge_fact m USING (user_id)
    GROUP BY 1, 2 HAVING (sum(bookings), sum(spent), sum(paid), sum(refunded), sum(disputed)) <> (0, 0, 0, 0, 0)
"""
_DATES = """
    SELECT coalesce(m.canonical, f.user_id)::text, min(created_at), max(created_at)
    FROM {schema}.booking_fact f LEFT JOIN {schema}.merge_fact m USING (user_id)
    WHERE present AND f.user_id IS NOT NULL GROUP BY 1
"""
_ACTIVITY = """
    SELECT coalesce(m.canonical, a.user_id)::text, max(time), array_agg(event_id::text)
    FROM {schema}.activity a LEFT JOIN {schema}.merge_fact m USING (user_id) WHERE a.user_id IS NOT NULL GROUP BY 1
"""


async def projected(engine: AsyncEngine, schema: str | None = None) -> dict[str, Any]:
    """Return the same of a generation's tables (the live one's unless named)."""
    async with engine.connect() as connection:
        schema = schema or (await connection.execute(text("SELECT schema FROM generation WHERE live"))).scalar_one()
        sums = (await connection.execute(text(_SUMS.format(schema=schema)))).all()
        dates = {row[0]: row[1:] for row in await connection.execute(text(_DATES.format(schema=schema)))}
        activity = {row[0]: row[1:] for row in await connection.execute(text(_ACTIVITY.format(schema=schema)))}
    people: dict[str, Any] = {}
    for user in activity:
        own = [row for row in sums if row.user_id == user]
        money = {row.currency: (row.spent, row.paid, row.refunded, row.disputed) for row in own}
        first, last = dates.get(user, (None, None))
        latest, lines = activity[user]
        people[user] = (sum(row.bookings for row in own), money, first, last, latest, frozenset(lines))
        assert len(set(lines)) == len(lines), "a line twice"
    return people


async def announced(engine: AsyncEngine) -> dict[str, Any]:
    """Return what was last announced, in the same shape but without activity; users with nothing are left out."""
    async with engine.connect() as connection:
        rows = (await connection.execute(text("SELECT * FROM announced_totals"))).mappings().all()
    return {
        str(row["user_id"]): (
            row["total_bookings"],
            {
                item["currency"]: tuple(
                    Decimal(item[key]) for key in ("total_spent", "total_paid", "total_refunded", "total_disputed")
                )
                for item in row["currencies"]
            },
            row["first_booking_date"],
            row["last_booking_date"],
            row["last_activity_date"],
        )
        for row in rows
        if row["last_activity_date"]
    }
