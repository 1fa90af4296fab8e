"""The HTTP door of the gateway: people read, corrected, merged, erased."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.internal_api import internal_router
from shared.problems import documented
from users import api_duplicates, api_entries, schemas
from users.domain import CORRECTABLE
from users.errors import ChangedMeanwhile, NoVersion
from users.service.audit import Decision
from users.service.correct_user import correct_user
from users.service.erase_user import erase_user, preview_erase
from users.service.find_user import read_audit, show_user
from users.service.merge_users import merge_users, unmerge_user
from users.service.preview_merge import preview_merge
from users.settings import Settings

IfMatch = Annotated[
    str | None, Header(description="The `sequence` that was seen, quoted or not", examples=["3"], max_length=40)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What the routes call. ``committed`` wakes the relay."""

    engine: AsyncEngine
    source: str
    settings: Settings
    committed: Callable[[], None]


def router(door: Door) -> APIRouter:
    """Return the internal API."""
    routes = internal_router(door.settings, tag="users")
    api_duplicates.add_routes(routes, door.engine)
    api_entries.add_routes(routes, door.engine)
    _add_reading(routes, door)
    _add_correcting(routes, door)
    _add_merging(routes, door)
    _add_erasing(routes, door)
    return routes


def _add_reading(routes: APIRouter, door: Door) -> None:
    @routes.get("/users/{user_id}", responses=documented(404))
    async def show(user_id: UUID, response: Response) -> schemas.User:
        """Return a user. A merged one still answers, and says by `canonical_id` whom they count as."""
        return await _shown(door, user_id, response)

    @routes.get("/users/{user_id}/audit", responses=documented(404))
    async def audit(user_id: UUID) -> list[schemas.Decision]:
        """Return the latest 200 decisions about a user, newest first."""
        rows = await read_audit(door.engine, user_id)
        return [schemas.Decision.model_validate(dict(row)) for row in rows]


def _add_correcting(routes: APIRouter, door: Door) -> None:
    @routes.patch("/users/{user_id}", responses=documented(400, 404, 409, 412, 428))
    async def correct(
        user_id: UUID, body: schemas.CorrectionBody, response: Response, if_match: IfMatch = None
    ) -> schemas.User:
        """Correct fields: they show instead of what bookings say, until cleared with null."""
        given = body.model_dump(exclude_unset=True)
        await correct_user(
            door.engine,
            door.source,
            user_id,
            changes={name: given[name] for name in CORRECTABLE if name in given},
            seen_sequence=_seen(if_match, user_id),
            region=door.settings.phone_region,
            decision=Decision(body.by, body.reason),
        )
        door.committed()
        return await _shown(door, user_id, response)


def _add_merging(routes: APIRouter, door: Door) -> None:
    @routes.get("/users/{user_id}/merge-preview", responses=documented(404, 409))
    async def preview(user_id: UUID, into: UUID) -> schemas.MergePreview:
        """Return what merging would do, field by field. Changes nothing."""
        found = await preview_merge(door.engine, user_id, into=into)
        return schemas.MergePreview.model_validate(found, from_attributes=True)

    @routes.post("/users/{user_id}/merge", responses=documented(400, 404, 409))
    async def merge(user_id: UUID, body: schemas.MergeBody, response: Response) -> schemas.User:
        """Let a user count as another, until unmerged. Repeating it changes nothing."""
        decision = Decision(body.by, body.reason)
        await merge_users(door.engine, door.source, user_id, into=body.into, decision=decision)
        door.committed()
        return await _shown(door, user_id, response)

    @routes.post("/users/{user_id}/unmerge", responses=documented(400, 404, 409))
    async def unmerge(user_id: UUID, body: schemas.UnmergeBody, response: Response) -> schemas.User:
        """Let a merged user count as themselves again: all is as if they had never been merged."""
        await unmerge_user(door.engine, door.source, user_id, decision=Decision(body.by, body.reason))
        door.committed()
        return await _shown(door, user_id, response)


def _add_erasing(routes: APIRouter, door: Door) -> None:
    @routes.get("/users/{user_id}/erase-preview", responses=documented(404))
    async def preview(user_id: UUID) -> schemas.ErasePreview:
        """Return whom and what erasing would take. Changes nothing."""
        return schemas.ErasePreview.model_validate(await preview_erase(door.engine, user_id), from_attributes=True)

    @routes.post("/users/{user_id}/erase", responses=documented(400, 404, 409))
    async def erase(user_id: UUID, body: schemas.EraseBody) -> schemas.Erased:
        """Erase a person for ever, in every service; amounts, dates and ids stay. Repeating it changes nothing."""
        decision = Decision(body.by, body.reason)
        users = await erase_user(door.engine, door.source, user_id, confirm=body.confirm, decision=decision)
        door.committed()
        return schemas.Erased(users=list(users))


async def _shown(door: Door, user_id: UUID, response: Response) -> schemas.User:
    user = schemas.User.model_validate(dict(await show_user(door.engine, user_id)))
    response.headers["ETag"] = f'"{user.sequence}"'
    return user


def _seen(if_match: str | None, user_id: UUID) -> int:
    if if_match is None:
        raise NoVersion
    digits = re.fullmatch(r'"?([0-9]{1,18})"?', if_match.strip())
    if digits is None:
        raise ChangedMeanwhile(user_id, 0)
    return int(digits.group(1))
