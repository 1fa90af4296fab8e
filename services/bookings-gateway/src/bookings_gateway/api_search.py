"""The HTTP door of the one search box."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Response

from bookings_gateway import schemas_admin as shown
from bookings_gateway.access.policy import PREFIX
from bookings_gateway.admin_door import NEW, AdminDoor
from bookings_gateway.age import AGED
from bookings_gateway.search import search


def router(door: AdminDoor) -> APIRouter:
    """Return the route of the search."""
    routes = APIRouter(prefix=f"{PREFIX}/search", tags=["search"], responses=NEW)

    @routes.get("", responses={200: AGED})
    async def search_everything(
        response: Response,
        q: Annotated[
            str,
            Query(
                min_length=1,
                max_length=200,
                description="Name, e-mail, phone in any format, company, booking reference, PaymentIntent; typos too",
                examples=["ann lee", "+44 7700 900123", "BK-2026-0042", "pi_3NxYz"],
            ),
        ],
        limit: Annotated[int, Query(ge=1, le=50)] = 10,
    ) -> shown.SearchAnswer:
        """Return users, bookings and payments, best first: exact words, words begun, words mistyped."""
        found, _ = await asyncio.gather(search(door.engine, q, limit=limit), door.say_age(response))
        users = [{**shown.user_item(hit.row, door.currency), "match": hit.match} for hit in found.users]
        bookings = [{**shown.booking_item(hit.row), "match": hit.match} for hit in found.bookings]
        payments = [{**shown.payment_item(hit.row), "match": hit.match} for hit in found.payments]
        return shown.SearchAnswer.model_validate(
            {"query": q, "users": users, "bookings": bookings, "payments": payments}
        )

    return routes
