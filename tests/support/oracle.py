"""What must be true once everything has drained, told from the outside: the customer's own SQL, and ledgers of ids."""

import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from support.system import System
from support.waiting import eventually

# The customer's statistics statement (their document, 3.1), run over the legacy table.
CUSTOMERS_SQL = """
    SELECT user_id::text, count(*) AS booking_count, coalesce(sum("finalAmount"), 0) AS total_amount,
           min("createdAt") AS first_date, max("createdAt") AS last_date
    FROM bookings WHERE user_id IS NOT NULL GROUP BY user_id
"""
PROJECTED = """
    SELECT user_id::text, total_bookings, currencies, first_booking_date, last_booking_date
    FROM announced_totals WHERE total_bookings > 0
"""

# Who consumes which types, and where it records their ids.
CONSUMERS = {
    "users": ("inbox", ("booking",)),
    "payments": ("inbox", ("booking", "user.booking_linked")),
    "bookings-gateway": ("inbox", ("user", "user_totals", "payment", "booking")),
    "stats": ("journal", ("booking", "payment", "user")),
}


@dataclass(frozen=True)
class Verdict:
    """Every event of every producer, at every consumer of its type."""

    applied: int
    lost: dict[str, list[str]]
    unexpected: dict[str, list[str]]

    @property
    def clean(self) -> bool:
        return not any(self.lost.values()) and not any(self.unexpected.values())


async def verdict(system: System) -> Verdict:
    """Compare what producers committed with what consumers recorded, id by id."""
    committed: dict[str, str] = {}
    for producer in system.services:
        for row in await system.query(producer, f"SELECT event_id::text, type FROM {_schema(producer)}event_log"):  # noqa: S608
            committed[row["event_id"]] = row["type"]
    lost, unexpected, applied = {}, {}, 0
    for consumer, (table, prefixes) in CONSUMERS.items():
        rows = await system.query(consumer, f"SELECT event_id::text FROM {_schema(consumer)}{table}")  # noqa: S608
        seen = {row["event_id"] for row in rows}
        wanted = {id_ for id_, type_ in committed.items() if _wants(prefixes, type_)}
        lost[consumer] = sorted(wanted - seen)
        unexpected[consumer] = sorted(seen - set(committed))
        applied += len(wanted & seen)
    return Verdict(applied, lost, unexpected)


def _schema(service: str) -> str:
    """The gateway's tables stand in a schema of their own, beside the legacy table."""
    return "gateway." if service == "bookings-gateway" else ""


def _wants(prefixes: tuple[str, ...], type_: str) -> bool:
    return type_ in prefixes or type_.split(".")[0] in prefixes


async def drained(system: System, *, seconds: float = 30) -> Verdict:
    """Wait until nothing is captured, unsent, unapplied or untold any more, and return the verdict on it.

    Two looks must see the same: one look takes its time, and an event may pass from where it has not looked yet to
    where it has looked already.
    """
    looks: list[Verdict] = []

    async def done() -> bool:
        if await _under_way(system):
            looks.clear()
            return False
        looks.append(await verdict(system))
        return looks[-1].clean and looks[-2:-1] == looks[-1:]

    try:
        await eventually(done, seconds=seconds, what="everything drained")
    except AssertionError:
        raise AssertionError(f"not drained within {seconds} s: {looks[-1:] or await _under_way(system)}") from None
    return looks[-1]


async def _under_way(system: System) -> str | None:
    """Return the first table that says that something is still to be done, or ``None``."""
    if await system.query("bookings-gateway", "SELECT 1 FROM gateway.booking_change LIMIT 1"):
        return "booking_change"
    for producer in system.services:
        if await system.query(producer, f"SELECT 1 FROM {_schema(producer)}outbox LIMIT 1"):  # noqa: S608
            return f"outbox of {producer}"
    if await totals_untold(system):
        return "to_announce"
    return "write-back" if await write_back_due(system) else None


async def totals_untold(system: System) -> bool:
    """Whether stats has users in its live generation whose totals it has yet to announce."""
    waiting = "SELECT FROM to_announce JOIN generation USING (schema) WHERE live LIMIT 1"
    return bool(await system.query("stats", waiting))


async def write_back_due(system: System) -> bool:
    due = await system.query(
        "bookings-gateway",
        "SELECT 1 FROM gateway.booking_user WHERE NOT written UNION ALL "
        "SELECT 1 FROM gateway.booking_payment WHERE NOT written AND NOT migrated AND status = 'succeeded' "
        "AND booking_id IS NOT NULL LIMIT 1",
    )
    return bool(due)


async def totals_by_customers_sql(system: System) -> dict[str, Any]:
    """What the customer's statement says of the legacy table."""
    rows = await system.query("bookings-gateway", CUSTOMERS_SQL)
    return {
        row["user_id"]: (row["booking_count"], row["total_amount"], row["first_date"], row["last_date"]) for row in rows
    }


async def projected_totals(system: System) -> dict[str, Any]:
    """What stats says, in the same shape."""
    rows = await system.query("stats", PROJECTED)
    return {
        row["user_id"]: (
            row["total_bookings"],
            sum((Decimal(sums["total_spent"]) for sums in _json(row["currencies"])), Decimal(0)),
            row["first_booking_date"],
            row["last_booking_date"],
        )
        for row in rows
    }


async def money_received(system: System) -> Counter[str]:
    """Paid and refunded minor units over all users, as stats projects them."""
    rows = await system.query(
        "stats", "SELECT sum(paid) AS paid, sum(refunded) AS refunded FROM generation_1.currency_totals"
    )
    return Counter(paid=int(rows[0]["paid"] or 0), refunded=int(rows[0]["refunded"] or 0))


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
