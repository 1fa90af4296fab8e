"""The HTTP door of the rollout: where it stands, and what the parallel run found."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access.policy import PREFIX
from bookings_gateway.rollout.flags import Flags
from bookings_gateway.rollout.report import report
from bookings_gateway.schemas_migration import RolloutState
from shared.problems import documented


def create_router(engine: AsyncEngine, flags: Flags) -> APIRouter:
    """Return the route; the guard lets administrators alone in."""
    router = APIRouter(prefix=PREFIX, tags=["rollout"], responses=documented())

    @router.get("/rollout", response_model=None, responses={200: {"model": RolloutState}})
    async def rollout() -> dict[str, Any]:
        """Return the comparisons so far, the differences grouped by field with hashed values, and the latest flips."""
        async with engine.connect() as connection:
            return {"flagFileError": flags.error, **await report(connection)}

    return router
