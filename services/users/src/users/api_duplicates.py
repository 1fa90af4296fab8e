"""Likely duplicates: listed, looked for, dismissed."""

from fastapi import APIRouter
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.problems import documented
from users import schemas
from users.api_entries import Cursor, Limit
from users.service.suggest_duplicates import dismiss_duplicate, find_duplicates, list_duplicates


def add_routes(routes: APIRouter, engine: AsyncEngine) -> None:
    """Add them."""

    @routes.get("/duplicates")
    async def duplicates(limit: Limit = 50, cursor: Cursor = None) -> schemas.DuplicatePage:
        """Return pairs of users who may be one person, likeliest first. None is ever merged by itself."""
        page = await list_duplicates(engine, limit=limit, cursor=cursor)
        return schemas.DuplicatePage(items=[_item(row) for row in page.rows], next=page.next)

    @routes.post("/duplicates/find")
    async def find() -> schemas.Found:
        """Look for likely duplicates now instead of at the next hour."""
        return schemas.Found(count=await find_duplicates(engine))

    @routes.post("/duplicates/dismiss", status_code=204, responses=documented(400, 404))
    async def dismiss(body: schemas.DismissBody) -> None:
        """Keep that two users are two people: they are not suggested again."""
        await dismiss_duplicate(engine, list(body.users), by=body.by)


def _item(row: RowMapping) -> schemas.Duplicate:
    users = [schemas.DuplicateUser.model_validate(row[name]) for name in ("one", "other")]
    return schemas.Duplicate(users=users, reasons=row["reasons"], score=row["score"])
