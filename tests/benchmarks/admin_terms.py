"""What somebody types into the search: terms of every kind, of people picked from the whole table."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from sqlalchemy import text

Someone = Any

SAMPLE = text(
    """
    SELECT c.first_name, c.last_name, c.email, c.phone, c.company_name, CAST(c.user_id AS text) AS user_id,
           b.booking_reference, p.stripe_payment_intent_id AS intent
    FROM (SELECT * FROM customer TABLESAMPLE SYSTEM (5) WHERE company_name IS NOT NULL OR random() < 0.2
          ORDER BY random() LIMIT :samples) c
    CROSS JOIN LATERAL (SELECT booking_id FROM booking_user u WHERE u.user_id = c.user_id LIMIT 1) l
    JOIN booking_summary b USING (booking_id) LEFT JOIN booking_payment p USING (booking_id)
    """
)


def kinds(random: Random) -> Mapping[str, Callable[[Someone], str | None]]:
    """Return, for each kind of term, what it is of somebody; ``None`` for who has none."""

    def swapped(word: str) -> str:
        at = random.randrange(1, max(len(word) - 2, 2))
        return f"{word[:at]}{word[at + 1 : at + 2]}{word[at]}{word[at + 2 :]}"

    return {
        "surname": lambda one: one.last_name,
        "first and last name": lambda one: f"{one.first_name} {one.last_name}",
        "beginnings of both": lambda one: f"{one.first_name[:3]} {one.last_name[:4]}",
        "beginning of a surname": lambda one: one.last_name[:3],
        "mistyped surname": lambda one: swapped(one.last_name),
        "mistyped first and last name": lambda one: f"{one.first_name} {swapped(one.last_name)}",
        "e-mail": lambda one: one.email,
        "beginning of an e-mail": lambda one: one.email.split("@")[0],
        "phone as +44": lambda one: one.phone and f"+44 {one.phone[1:5]} {one.phone[5:]}",
        "last six digits": lambda one: one.phone and one.phone[-6:],
        "company": lambda one: one.company_name,
        "booking reference": lambda one: one.booking_reference,
        "PaymentIntent": lambda one: one.intent,
    }
