"""The HTTP door of what other services have of a user: asked there, passed on, recorded here."""

from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel

from bookings_gateway import customers
from bookings_gateway import schemas_records as written
from bookings_gateway import schemas_users as users
from bookings_gateway.access.actor import Actor, current_actor
from bookings_gateway.admin_door import VERSION, AdminDoor, Cursor, Limit, OptionalKey, repeated
from bookings_gateway.errors import PreconditionMissing
from bookings_gateway.remote import Call, Part, idempotent
from bookings_gateway.schemas_admin import totals
from shared.problems import documented

Answer = TypeVar("Answer", bound=BaseModel)
Staff = Annotated[Actor, Depends(current_actor)]
_WRITING = documented(400, 404, 409)


def add_fixed(routes: APIRouter, door: AdminDoor) -> None:
    """Add what has a path of its own; it has to come before ``{user_id}``."""

    @routes.get("/duplicates", responses=documented())
    async def duplicates(limit: Limit = 50, cursor: Cursor = None) -> users.DuplicatePage:
        """Return pairs of users who may be one person. Nothing is merged by itself."""
        call = Call(Part.USERS, "GET", "/duplicates", {"limit": limit, "cursor": cursor})
        return await door.remote.ask(call, users.DuplicatePage)

    @routes.post("/duplicates/dismiss", status_code=204, responses=documented(400, 404))
    async def dismiss_duplicate(body: users.Dismissal, actor: Staff) -> None:
        """Keep that two users are two people: they are not suggested again. Repeating it changes nothing."""
        one, other = sorted(map(str, body.users))
        order = {"users": [one, other], "by": actor.name}
        async with door.asking(actor, action="duplicate.dismissed", entity=f"user/{one}", after={"user_id": other}):
            await door.remote.tell(Call(Part.USERS, "POST", "/duplicates/dismiss", body=order))


def add_records(routes: APIRouter, door: AdminDoor) -> None:
    """Add notes, communications and activity."""

    @routes.get("/{user_id}/notes", responses=documented(404))
    async def list_notes(user_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> written.NotePage:
        """Return notes, newest first."""
        return await door.remote.ask(_page(user_id, "notes", limit, cursor), written.NotePage)

    @routes.post("/{user_id}/notes", status_code=201, responses={**_WRITING, **repeated(written.Note)})
    async def add_note(
        user_id: UUID, body: written.NewNote, actor: Staff, response: Response, key: OptionalKey = None
    ) -> written.Note:
        """Add a note."""
        entry = _Entry(user_id, "notes", body, action="note.added", kept={"kind", "internal"})
        response.status_code, note = await _add(door, actor, entry, written.Note, key=key)
        return note

    @routes.get("/{user_id}/communications", responses=documented(404))
    async def list_communications(user_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> written.CommunicationPage:
        """Return what was said and written, newest first."""
        return await door.remote.ask(_page(user_id, "communications", limit, cursor), written.CommunicationPage)

    @routes.post(
        "/{user_id}/communications", status_code=201, responses={**_WRITING, **repeated(written.Communication)}
    )
    async def add_communication(
        user_id: UUID, body: written.NewCommunication, actor: Staff, response: Response, key: OptionalKey = None
    ) -> written.Communication:
        """Note down what was said or written."""
        entry = _Entry(user_id, "communications", body, action="communication.added", kept={"channel", "direction"})
        response.status_code, added = await _add(door, actor, entry, written.Communication, key=key)
        return added

    @routes.get("/{user_id}/activity", responses=documented(404))
    async def list_activity(user_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> written.ActivityPage:
        """Return what happened to a user, newest first."""
        query = {"limit": limit, "after": cursor}
        return await door.remote.ask(Call(Part.STATS, "GET", f"/users/{user_id}/activity", query), written.ActivityPage)


def add_changes(routes: APIRouter, door: AdminDoor) -> None:
    """Add what changes a user: corrections, merging and its undoing, erasing."""

    @routes.patch("/{user_id}", responses={**documented(400, 404, 409, 412, 428), 200: VERSION})
    async def correct_user(
        user_id: UUID,
        body: users.UserChange,
        actor: Staff,
        response: Response,
        if_match: Annotated[
            str | None, Header(pattern=r"^[\x21-\x7e]{1,40}$", description="The `ETag` the user was read with")
        ] = None,
    ) -> users.ChangedUser:
        """Correct a user. Only the fields sent change; null takes a correction back."""
        if if_match is None:
            raise PreconditionMissing
        fields = body.model_dump(mode="json", exclude_unset=True)
        order = {**fields, "by": actor.name}
        call = Call(Part.USERS, "PATCH", f"/users/{user_id}", body=order, headers={"If-Match": if_match})
        before = await customers.shown_before(door.engine, user_id, fields)
        async with door.asking(actor, action="user.corrected", entity=f"user/{user_id}", before=before, after=fields):
            changed = await door.remote.ask(call, users.ChangedUser)
        response.headers["ETag"] = f'"{changed.sequence}"'
        return changed

    @routes.get("/{user_id}/merge-preview", responses=documented(404, 409))
    async def preview_merge(user_id: UUID, into: Annotated[UUID, Query()]) -> users.MergePreview:
        """Return what a merge would change: fields, bookings, payments, money."""
        call = Call(Part.USERS, "GET", f"/users/{user_id}/merge-preview", {"into": str(into)})
        preview = await door.remote.ask(call, users.PreviewOfUsers)
        person = await customers.one(door.engine, user_id)
        return users.MergePreview(**dict(preview), totals=totals(person.row, door.currency))

    @routes.post("/{user_id}/merge", responses=_WRITING)
    async def merge_user(user_id: UUID, body: users.MergeOrder, actor: Staff) -> users.ChangedUser:
        """Let a user count as another. Both e-mails keep resolving; nothing is deleted."""
        return await _decide(door, actor, _Decision("merge", user_id, body), users.ChangedUser)

    @routes.post("/{user_id}/unmerge", responses=_WRITING)
    async def unmerge_user(user_id: UUID, body: users.UnmergeOrder, actor: Staff) -> users.ChangedUser:
        """Take a merge back: everything is as if it had never been."""
        return await _decide(door, actor, _Decision("unmerge", user_id, body), users.ChangedUser)

    @routes.get("/{user_id}/erase-preview", responses=documented(404))
    async def preview_erase(user_id: UUID) -> users.ErasePreview:
        """Return whom and how much an erasure would take. Changes nothing."""
        return await door.remote.ask(Call(Part.USERS, "GET", f"/users/{user_id}/erase-preview"), users.ErasePreview)

    @routes.post("/{user_id}/erase", responses=_WRITING)
    async def erase_user(user_id: UUID, body: users.EraseOrder, actor: Staff) -> users.Erased:
        """Remove a person everywhere, for good. Bookings, payments and their amounts stay."""
        return await _decide(door, actor, _Decision("erase", user_id, body), users.Erased)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Something written about a user; of ``kept`` fields the audit has the values."""

    user_id: UUID
    path: str
    body: BaseModel
    action: str
    kept: set[str]


async def _add(
    door: AdminDoor, actor: Actor, entry: _Entry, model: type[Answer], *, key: str | None
) -> tuple[int, Answer]:
    """Have an entry written once under its key; return the status, which says whether it is new, and the entry."""
    body = {**entry.body.model_dump(mode="json"), "author": actor.name}
    call = Call(Part.USERS, "POST", f"/users/{entry.user_id}/{entry.path}", body=body, headers=idempotent(key))
    after = entry.body.model_dump(mode="json", include=entry.kept)
    async with door.asking(actor, action=entry.action, entity=f"user/{entry.user_id}", after=after):
        return await door.remote.outcome(call, model)


# What the audit says there was of an erased user: of names and numbers, that there were some.
_ERASED = ("email", "first_name", "last_name", "phone", "company_name", "placeholder", "total_bookings", "merged_into")


@dataclass(frozen=True, slots=True)
class _Decision:
    """What is to become of a user."""

    what: str
    user_id: UUID
    order: BaseModel


async def _decide(door: AdminDoor, actor: Actor, decision: _Decision, model: type[Answer]) -> Answer:
    """Have a decision taken by its service, and return what came of it."""
    order = decision.order.model_dump(mode="json")
    path = f"/users/{decision.user_id}/{decision.what}"
    call = Call(Part.USERS, "POST", path, body={**order, "by": actor.name}, patient=True)
    after = {"merged_into": order.get("into"), "reason": order["reason"]}
    shown = _ERASED if decision.what == "erase" else ("merged_into",)
    before = await customers.shown_before(door.engine, decision.user_id, shown)
    action, entity = f"user.{decision.what}", f"user/{decision.user_id}"
    async with door.asking(actor, action=action, entity=entity, before=before, after=after):
        return await door.remote.ask(call, model)


def _page(user_id: UUID, what: str, limit: int, cursor: str | None) -> Call:
    return Call(Part.USERS, "GET", f"/users/{user_id}/{what}", {"limit": limit, "cursor": cursor})
