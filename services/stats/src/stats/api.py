"""The read API: totals and activity of users. A merged user is answered for by whom it counts as."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts import UserTotalsSnapshot
from shared.fields import Moment, Word
from shared.internal_api import internal_router
from shared.refusals import UnusableCursor
from stats.schemas import Activity, ActivityPage, cursor_of, read_cursor
from stats.service import read
from stats.settings import Settings

MOST_USERS = 500


def create_router(engine: AsyncEngine, settings: Settings) -> APIRouter:
    """Return the routes."""
    router = internal_router(settings, tag="statistics")

    @router.get("/users/totals")
    async def totals_by_ids(
        ids: Annotated[list[UUID], Query(description="Repeat for each user", min_length=1, max_length=MOST_USERS)],
    ) -> dict[UUID, UserTotalsSnapshot]:
        """Return totals by the ids asked for; users of whom nothing is known are absent."""
        return dict(await read.totals(engine, set(ids)))

    @router.get("/users/{user_id}/totals", responses={404: {"description": "No such user"}})
    async def totals(user_id: UUID) -> UserTotalsSnapshot:
        """Return a user's totals, per currency."""
        found = await read.totals(engine, {user_id})
        if user_id not in found:
            raise HTTPException(404, f"nothing is known of user {user_id}")
        return found[user_id]

    @router.get("/users/{user_id}/activity", responses={422: {"description": "Not a cursor of ours"}})
    async def activity(
        user_id: UUID,
        kind: Annotated[list[Word] | None, Query(description="Only these event types; repeatable")] = None,
        since: Moment | None = None,
        until: Annotated[Moment | None, Query(description="Exclusive")] = None,
        after: Annotated[str | None, Query(description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> ActivityPage:
        """Return what happened to a user, newest first, page by page."""
        wanted = read.Wanted(kind, since, until, _position(after), limit + 1)
        rows = await read.activity(engine, user_id, wanted)
        items = [Activity.model_validate(dict(row)) for row in rows]
        more = len(items) > limit
        return ActivityPage(items=items[:limit], next=cursor_of(items[limit - 1]) if more else None)

    return router


def _position(cursor: str | None) -> tuple[datetime, UUID] | None:
    try:
        return read_cursor(cursor) if cursor else None
    except ValueError:
        raise UnusableCursor from None
