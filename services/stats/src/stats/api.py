"""The read API: a user's totals and activity."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts import UserTotalsSnapshot
from stats.projector import enter_reading

_TOTALS = text("SELECT * FROM user_totals WHERE user_id = :user_id")
_ACTIVITY = text(
    """
    SELECT event_id, kind, time, booking_id, payment_id, amount, currency FROM activity
    WHERE user_id = :user_id ORDER BY time DESC, event_id DESC LIMIT :limit
    """
)


class Activity(BaseModel):
    """One thing that happened. ``amount`` is in major units for bookings, minor units for payments."""

    event_id: UUID
    kind: str
    time: datetime
    booking_id: str | None
    payment_id: str | None
    amount: Decimal | None
    currency: str | None


def create_router(engine: AsyncEngine) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/users", tags=["statistics"])

    @router.get("/{user_id}/totals", responses={404: {"description": "No such user"}})
    async def totals(user_id: UUID) -> UserTotalsSnapshot:
        """Return a user's totals, per currency."""
        async with engine.connect() as connection:
            await enter_reading(connection)
            row = (await connection.execute(_TOTALS, {"user_id": user_id})).mappings().one_or_none()
        if row is None:
            raise HTTPException(404, f"nothing is known of user {user_id}")
        return UserTotalsSnapshot.model_validate({**row, "user_id": str(user_id)})

    @router.get("/{user_id}/activity")
    async def activity(user_id: UUID, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> list[Activity]:
        """Return what happened to a user, newest first."""
        async with engine.connect() as connection:
            await enter_reading(connection)
            rows = (await connection.execute(_ACTIVITY, {"user_id": user_id, "limit": limit})).mappings()
            return [Activity.model_validate(dict(row)) for row in rows]

    return router
