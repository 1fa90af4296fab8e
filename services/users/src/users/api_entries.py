"""Notes about people and communications with them."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.problems import documented
from users import schemas
from users.service.entries import COMMUNICATIONS, NOTES, list_entries, write_entry

Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[schemas.Word | None, Query(description="`next` of the page before")]
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key again is the same entry",
    ),
]


def add_routes(routes: APIRouter, engine: AsyncEngine) -> None:
    """Add reading and writing of both."""
    _add_notes(routes, engine)
    _add_communications(routes, engine)


def _repeated(model: type) -> dict[int | str, dict[str, Any]]:
    return {**documented(400, 404, 409), 200: {"model": model, "description": "Written before with this key"}}


def _add_notes(routes: APIRouter, engine: AsyncEngine) -> None:
    @routes.get("/users/{user_id}/notes", responses=documented(404))
    async def notes(user_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> schemas.NotePage:
        """Return the notes about a person, newest first, whichever of their merged users they were written about."""
        page = await list_entries(engine, NOTES, user_id, limit=limit, cursor=cursor)
        return schemas.NotePage.model_validate({"items": [dict(row) for row in page.rows], "next": page.next})

    @routes.post("/users/{user_id}/notes", status_code=201, responses=_repeated(schemas.Note))
    async def write_note(user_id: UUID, body: schemas.NoteBody, key: Key, response: Response) -> schemas.Note:
        """Write a note about a user."""
        row, is_new = await write_entry(engine, NOTES, user_id, values=body.model_dump(mode="json"), key=key)
        response.status_code = 201 if is_new else 200
        return schemas.Note.model_validate(dict(row))


def _add_communications(routes: APIRouter, engine: AsyncEngine) -> None:
    @routes.get("/users/{user_id}/communications", responses=documented(404))
    async def communications(user_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> schemas.CommunicationPage:
        """Return the communications with a person, newest first, whichever of their merged users they were with."""
        page = await list_entries(engine, COMMUNICATIONS, user_id, limit=limit, cursor=cursor)
        items = [dict(row) for row in page.rows]
        return schemas.CommunicationPage.model_validate({"items": items, "next": page.next})

    @routes.post("/users/{user_id}/communications", status_code=201, responses=_repeated(schemas.Communication))
    async def write_communication(
        user_id: UUID, body: schemas.CommunicationBody, key: Key, response: Response
    ) -> schemas.Communication:
        """Write down a communication with a user."""
        values = body.model_dump(mode="json")
        row, is_new = await write_entry(engine, COMMUNICATIONS, user_id, values=values, key=key)
        response.status_code = 201 if is_new else 200
        return schemas.Communication.model_validate(dict(row))
