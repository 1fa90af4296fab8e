"""Which bookings an unmatched payment might belong to: same e-mail, amount and time. Never applied by itself."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments.service.remember_bookings import comparable

_MOST = 5

# The e-mail stands in the deliveries only. One event per object tells it as well as all of them.
_BODIES = text(
    """
    SELECT o.payment_id, d.body
    FROM stripe_object o
    JOIN LATERAL (SELECT id FROM stripe_event WHERE object_id = o.id ORDER BY created DESC, id LIMIT 1) e ON true
    JOIN LATERAL (SELECT body FROM stripe_delivery WHERE event_id = e.id ORDER BY id LIMIT 1) d ON true
    WHERE o.payment_id = ANY(CAST(:payments AS uuid[]))
    """
)
# A booking that is paid already by this system is not suggested again.
_CANDIDATES = text(
    """
    SELECT w.payment_id, h.booking_id, h.reference, h.amount IS NOT DISTINCT FROM w.amount AS same_amount,
           h.created_at, abs(extract(epoch FROM h.created_at - w.created_at)) AS distance
    FROM json_to_recordset(CAST(:wanted AS json)) AS w (
        payment_id uuid, email text, amount bigint, currency text, created_at timestamptz
    )
    JOIN booking_hint h ON h.email = w.email AND h.currency = w.currency AND NOT h.deleted
    WHERE NOT EXISTS (SELECT FROM payment p WHERE p.booking_id = h.booking_id AND p.status = 'succeeded')
    ORDER BY w.payment_id, same_amount DESC, distance NULLS LAST, h.booking_id
    """
)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A booking of the same e-mail and currency; ``same_amount`` says that the amount fits too."""

    booking_id: str
    reference: str | None
    same_amount: bool
    created_at: datetime | None


async def suggest_bookings(engine: AsyncEngine, payments: Sequence[Mapping[str, Any]]) -> dict[UUID, list[Suggestion]]:
    """Return the best few bookings for each payment, best first: same amount before others, then nearest in time."""
    suggestions: dict[UUID, list[Suggestion]] = {payment["id"]: [] for payment in payments}
    async with engine.connect() as connection:
        emails = await _emails(connection, list(suggestions))
        wanted = [_wanted(payment, email) for payment in payments for email in sorted(emails.get(payment["id"], ()))]
        for row in await connection.execute(_CANDIDATES, {"wanted": to_json(wanted).decode()}):
            best = suggestions[row.payment_id]
            if len(best) < _MOST:
                best.append(Suggestion(row.booking_id, row.reference, row.same_amount, row.created_at))
    return suggestions


async def _emails(connection: AsyncConnection, payments: Sequence[UUID]) -> dict[UUID, set[str]]:
    emails: dict[UUID, set[str]] = {}
    for row in await connection.execute(_BODIES, {"payments": list(payments)}):
        emails.setdefault(row.payment_id, set()).update(_emails_in(json.loads(row.body)))
    return emails


def _emails_in(event: Mapping[str, Any]) -> Iterator[str]:
    """What an object says of the payer: https://docs.stripe.com/api/charges/object, …/checkout/sessions/object."""
    data = event.get("data")
    item = data.get("object") if isinstance(data, Mapping) else None
    if not isinstance(item, Mapping):
        return
    nested = (item.get(name) for name in ("billing_details", "customer_details"))
    told = [item.get("receipt_email"), item.get("customer_email")]
    told += [details.get("email") for details in nested if isinstance(details, Mapping)]
    for value in told:
        email = comparable(value) if isinstance(value, str) and value.isprintable() else None
        if email:
            yield email


def _wanted(payment: Mapping[str, Any], email: str) -> dict[str, object]:
    return {
        "payment_id": payment["id"],
        "email": email,
        "amount": payment["amount"],
        "currency": payment["currency"],
        "created_at": payment["created_at"],
    }
