"""One user with the newest of all parts, each from whoever has it; what is away is named, the rest is there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel

from bookings_gateway import customer_records as records
from bookings_gateway import customers
from bookings_gateway import schemas_admin as shown
from bookings_gateway import schemas_records as written
from bookings_gateway import schemas_users as users
from bookings_gateway.admin_door import AdminDoor
from bookings_gateway.errors import Declined, PartAway
from bookings_gateway.remote import Call, Part

Answer = TypeVar("Answer", bound=BaseModel)

NEWEST = 5


@dataclass(frozen=True, slots=True)
class Detail:
    """``sequence`` is the version of the user that is shown, which a change made after reading it replaces."""

    body: users.UserDetail
    sequence: int


async def detail(door: AdminDoor, user_id: UUID) -> Detail:
    """Return the user and its parts, asked for all at once; raises :class:`NoSuchUser`."""
    (person, bookings, payments), (identity, notes, communications, activity) = await asyncio.gather(
        asyncio.gather(
            customers.one(door.engine, user_id),
            records.bookings_of(door.engine, user_id, limit=NEWEST, offset=0),
            records.find_payments(door.engine, records.PaymentsWanted(user_id=user_id), limit=NEWEST, offset=0),
        ),
        asyncio.gather(
            _part(door, Call(Part.USERS, "GET", f"/users/{user_id}"), users.Identity),
            _part(door, _newest(Part.USERS, user_id, "notes"), written.NotePage),
            _part(door, _newest(Part.USERS, user_id, "communications"), written.CommunicationPage),
            _part(door, _newest(Part.STATS, user_id, "activity"), written.ActivityPage),
        ),
    )
    asked = {"identity": identity, "notes": notes, "communications": communications, "activity": activity}
    body = {
        **shown.user_item(person.row, door.currency),
        "totals": shown.totals(person.row, door.currency),
        "merged_into": person.row["canonical_id"],
        "merged_from": person.merged_from,
        "emails": identity.emails if identity else None,
        "variants": identity.variants if identity else None,
        "parts": _parts(bookings, payments, notes, communications, activity),
        "unavailable": [name for name, part in asked.items() if part is None],
    }
    return Detail(users.UserDetail.model_validate(body), person.row["user_sequence"])


def _newest(part: Part, user_id: UUID, what: str) -> Call:
    return Call(part, "GET", f"/users/{user_id}/{what}", {"limit": NEWEST})


async def _part(door: AdminDoor, call: Call, model: type[Answer]) -> Answer | None:
    """Return one part; ``None`` when its service is away, or has not heard of the user yet."""
    try:
        return await door.remote.ask(call, model)
    except (PartAway, Declined):
        return None


def _parts(
    bookings: records.Records,
    payments: records.Records,
    notes: written.NotePage | None,
    communications: written.CommunicationPage | None,
    activity: written.ActivityPage | None,
) -> dict[str, Any]:
    return {
        "bookings": [shown.booking_item(row) for row in bookings.rows],
        "total_bookings": bookings.total,
        "payments": [shown.payment_item(row) for row in payments.rows],
        "total_payments": payments.total,
        "notes": _items(notes),
        "communications": _items(communications),
        "activity": _items(activity),
    }


def _items(
    page: written.NotePage | written.CommunicationPage | written.ActivityPage | None,
) -> Sequence[BaseModel] | None:
    return page.data[:NEWEST] if page else None
