"""Whether an import came to what plain Python computed of the facts, at each service's own tables."""

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

from support.legacy_due import Due

Query = Callable[[str, str], Awaitable[Sequence[Any]]]

PAYMENTS = """
    SELECT booking_id, provenance ->> 'evidence' AS evidence, received, refunded, status FROM payment
    WHERE migrated AND status IN ('succeeded', 'pending')
"""
LINKS = "SELECT booking_id, CAST(user_id AS text) AS user_id FROM booking_link WHERE user_id IS NOT NULL"
TOTALS = """
    SELECT CAST(user_id AS text) AS user_id, total_bookings,
           (SELECT sum(CAST(c ->> 'total_spent' AS numeric)) FROM jsonb_array_elements(currencies) c) AS spent,
           (SELECT sum(CAST(c ->> 'total_paid' AS numeric)) FROM jsonb_array_elements(currencies) c) AS paid
    FROM announced_totals WHERE total_bookings > 0
"""


async def assert_came_to(query: Query, wanted: Due) -> None:
    """``query`` runs a statement in a service's database."""
    payments = {row["booking_id"]: row for row in await query("payments", PAYMENTS)}
    links = {row["booking_id"]: row["user_id"] for row in await query("users", LINKS)}
    totals = {row["user_id"]: row for row in await query("stats", TOTALS)}

    assert {
        id_: (row["evidence"], row["received"], row["refunded"]) for id_, row in payments.items()
    } == wanted.payments
    assert links.keys() == wanted.mailboxes.keys()
    by_user = {user: wanted.mailboxes[booking] for booking, user in links.items()}
    assert len(by_user) == len(set(by_user.values())) == wanted.users
    assert {by_user[user]: row["total_bookings"] for user, row in totals.items()} == dict(wanted.bookings)
    assert {by_user[user]: row["spent"] for user, row in totals.items()} == dict(wanted.spent)
    paid = sum((row["paid"] for row in totals.values()), Decimal(0))
    assert paid == Decimal(sum(pence for _, pence, _ in wanted.payments.values())) / 100
