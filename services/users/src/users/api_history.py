"""The HTTP door of a history's verification: who everybody is, and every form of contact kept, page by page."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.internal_api import internal_router
from users.settings import Settings

_PEOPLE = text(
    """
    SELECT u.id, u.email, coalesce(v.variants, '[]') AS variants
    FROM (SELECT id, email FROM users WHERE id > :after ORDER BY id LIMIT :limit) u
    LEFT JOIN LATERAL (
        SELECT json_agg(json_build_array(first_name, last_name, email_written, phone, company)) AS variants
        FROM contact_variant WHERE user_id = u.id
    ) v ON true
    ORDER BY u.id
    """
)

_FIRST = UUID(int=0)


class Person(BaseModel):
    """A user; each variant is first name, last name, e-mail as written, phone, company."""

    id: UUID
    email: str | None
    variants: list[tuple[str | None, str | None, str | None, str | None, str | None]]


class PeoplePage(BaseModel):
    """Users in the order of their ids; the next page begins after the last."""

    items: list[Person]


def create_router(engine: AsyncEngine, settings: Settings) -> APIRouter:
    """Return the route."""
    router = internal_router(settings, tag="history")

    @router.get("/history/people")
    async def people(after: UUID = _FIRST, limit: Annotated[int, Query(ge=1, le=5_000)] = 2_000) -> PeoplePage:
        """Return users after an id, with every form of contact that was ever kept of them."""
        async with engine.connect() as connection:
            rows = (await connection.execute(_PEOPLE, {"after": after, "limit": limit})).mappings().all()
        return PeoplePage(items=[Person.model_validate(dict(row)) for row in rows])

    return router
