"""The HTTP door of users: lists and details from the read model, and everything else of whoever owns it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from bookings_gateway import customer_records as records
from bookings_gateway import customers
from bookings_gateway import schemas_admin as shown
from bookings_gateway.access.policy import USERS
from bookings_gateway.admin_door import NEW, VERSIONED, AdminDoor, csv_body
from bookings_gateway.age import AGE_HEADER, AGED, age
from bookings_gateway.api_user_parts import add_changes, add_fixed, add_records
from bookings_gateway.schemas_lists import BookingsOfUserQuery, PaymentsOfUserQuery, UserFilters, UserQuery
from bookings_gateway.schemas_users import UserDetail
from bookings_gateway.user_detail import detail
from shared.problems import documented

_AMOUNTS = frozenset(["totalSpent", "totalPaid", "totalRefunded"])
_EXPORTED = (
    *("id", "email", "name", "firstName", "lastName", "phone", "companyName", "totalBookings", "totalSpent"),
    *("totalPaid", "totalRefunded", "firstBookingDate", "lastBookingDate", "lastActivityDate", "createdAt"),
)


def router(door: AdminDoor) -> APIRouter:
    """Return the routes of users; those with a fixed path come before ``{user_id}``."""
    routes = APIRouter(prefix=USERS, tags=["users"], responses=NEW)
    _add_lists(routes, door)
    add_fixed(routes, door)
    _add_reading(routes, door)
    add_records(routes, door)
    add_changes(routes, door)
    return routes


def _add_lists(routes: APIRouter, door: AdminDoor) -> None:
    @routes.get("", responses={200: AGED})
    async def list_users(response: Response, query: Annotated[UserQuery, Query()]) -> shown.UserPage:
        """Return users, sorted by any column; `total` counts all that match."""
        page = await customers.find(door.engine, query.wanted, limit=query.limit, offset=query.offset)
        await door.say_age(response)
        items = [shown.UserItem.model_validate(shown.user_item(row, door.currency)) for row in page.rows]
        return shown.UserPage(data=items, total=page.total, limit=query.limit, offset=query.offset)

    @routes.get("/export", response_class=StreamingResponse, responses={200: {**AGED, "content": {"text/csv": {}}}})
    async def export_users(filters: Annotated[UserFilters, Query()]) -> StreamingResponse:
        """Return all users that match as CSV, safe to open in a spreadsheet."""
        headers = {
            "Content-Disposition": 'attachment; filename="users.csv"',
            AGE_HEADER: await age(door.engine),
        }
        body = csv_body(_EXPORTED, _cells(door, filters.wanted), amounts=_AMOUNTS)
        return StreamingResponse(body, media_type="text/csv; charset=utf-8", headers=headers)


def _add_reading(routes: APIRouter, door: AdminDoor) -> None:
    """Add what is read of one user. Bookings and payments come from the read model, with nothing else needed."""

    @routes.get("/{user_id}", responses={**documented(404), 200: VERSIONED})
    async def get_user(user_id: UUID, response: Response) -> UserDetail:
        """Return one user with the newest of all parts. `ETag` is what `If-Match` of a change wants."""
        found = await detail(door, user_id)
        response.headers["ETag"] = f'"{found.sequence}"'
        await door.say_age(response)
        return found.body

    @routes.get("/{user_id}/bookings", responses={**documented(404), 200: AGED})
    async def bookings_of_user(
        user_id: UUID, response: Response, query: Annotated[BookingsOfUserQuery, Query()]
    ) -> shown.BookingPage:
        """Return the bookings of a user and of those merged with them, newest first unless said otherwise."""
        await customers.one(door.engine, user_id)
        limit, offset = query.limit, query.offset
        page = await records.bookings_of(door.engine, user_id, query.wanted, limit=limit, offset=offset)
        await door.say_age(response)
        items = [shown.BookingItem.model_validate(shown.booking_item(row)) for row in page.rows]
        return shown.BookingPage(data=items, total=page.total, limit=limit, offset=offset)

    @routes.get("/{user_id}/payments", responses={**documented(404), 200: AGED})
    async def payments_of_user(
        user_id: UUID, response: Response, query: Annotated[PaymentsOfUserQuery, Query()]
    ) -> shown.PaymentPage:
        """Return the payments of a user's bookings, newest first unless said otherwise."""
        await customers.one(door.engine, user_id)
        wanted, limit, offset = replace(query.wanted, user_id=user_id), query.limit, query.offset
        page = await records.find_payments(door.engine, wanted, limit=limit, offset=offset)
        await door.say_age(response)
        items = [shown.PaymentItem.model_validate(shown.payment_item(row)) for row in page.rows]
        return shown.PaymentPage(data=items, total=page.total, limit=limit, offset=offset)


async def _cells(door: AdminDoor, wanted: customers.Wanted) -> AsyncIterator[list[object]]:
    async for row in customers.every(door.engine, wanted):
        item = shown.UserItem.model_validate(shown.user_item(row, door.currency)).model_dump(mode="json", by_alias=True)
        yield [item[name] for name in _EXPORTED]
