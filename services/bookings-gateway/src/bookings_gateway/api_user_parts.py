"""The HTTP door of what other services have of a user: asked there, passed on, recorded here."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel

from bookings_gateway import customers
from bookings_gateway import schemas_records as written
from bookings_gateway import schemas_users as users
from bookings_gateway.access.actor import Actor, current_actor
from bookings_gateway.admin_door import AdminDoor, Cursor, Limit, OptionalKey, repeated
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
        page = await door.remote.ask(call, users.DuplicatesOfUsers)
        return users.DuplicatePage(data=page.items, next=page.next)

    @routes.post("/duplicates/dismiss", status_code=204, responses=documented(400, 404))
    async def dismiss_duplicate(body: users.Dismissal, actor: Staff) -> None:
        """Keep that two users are two people: they are not suggested again. Repeating it changes nothing."""
        one, other = sorted(map(str, body.users))
        order = {"users": [one, other], "by": actor.name}
        await door.remote.tell(Call(Part.USERS, "POST", "/duplicates/dismiss", body=order))
        await door.record(actor, action="duplicate.dismissed", entity=f"user/{one}", after={"user_id": other})


def add_records(routes: APIRouter, door: AdminDoor) -> None:
    """Add notes, communications and activity."""

    @routes.get("/{user_id}/notes", responses=documented(404))
    async def list_notes(user_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> written.NotePage:
        """Return notes, newest first."""
        page = await door.remote.ask(_page(user_id, "notes", limit, cursor), written.NotesOfUsers)
        return written.NotePage(data=page.items, next=page.next)

    @routes.post("/{user_id}/notes", status_code=201, responses={**_WRITING, **repeated(written.Note)})
    async def add_note(
        user_id: UUID, body: written.NewNote, actor: Staff, response: Response, key: OptionalKey = None
    ) -> written.Note:
        """Add a note."""
        call = _write(user_id, "notes", {**body.model_dump(mode="json"), "author": actor.name}, key)
        response.status_code, note = await door.remote.outcome(call, written.Note)
        after = {"kind": note.kind, "internal": note.internal}
        await door.record(actor, action="note.added", entity=f"user/{user_id}", after=after)
        return note

    @routes.get("/{user_id}/communications", responses=documented(404))
    async def list_communications(user_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> written.CommunicationPage:
        """Return what was said and written, newest first."""
        page = await door.remote.ask(_page(user_id, "communications", limit, cursor), written.CommunicationsOfUsers)
        return written.CommunicationPage(data=page.items, next=page.next)

    @routes.post(
        "/{user_id}/communications", status_code=201, responses={**_WRITING, **repeated(written.Communication)}
    )
    async def add_communication(
        user_id: UUID, body: written.NewCommunication, actor: Staff, response: Response, key: OptionalKey = None
    ) -> written.Communication:
        """Note down what was said or written."""
        call = _write(user_id, "communications", {**body.model_dump(mode="json"), "author": actor.name}, key)
        response.status_code, added = await door.remote.outcome(call, written.Communication)
        after = {"channel": added.channel, "direction": added.direction}
        await door.record(actor, action="communication.added", entity=f"user/{user_id}", after=after)
        return added

    @routes.get("/{user_id}/activity", responses=documented(404))
    async def list_activity(user_id: UUID, limit: Limit = 50, cursor: Cursor = None) -> written.ActivityPage:
        """Return what happened to a user, newest first."""
        query = {"limit": limit, "after": cursor}
        page = await door.remote.ask(
            Call(Part.STATS, "GET", f"/users/{user_id}/activity", query), written.ActivityOfStats
        )
        return written.ActivityPage(data=page.items, next=page.next)


def add_changes(routes: APIRouter, door: AdminDoor) -> None:
    """Add what changes a user: corrections, merging and its undoing, erasing."""

    @routes.patch("/{user_id}", responses=documented(400, 404, 409, 412, 428))
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
        changed = await door.remote.ask(call, users.ChangedUser)
        await door.record(actor, action="user.corrected", entity=f"user/{user_id}", after=fields)
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
        call = _decision("merge", user_id, actor, body)
        return await _decided(door, actor, call, await door.remote.ask(call, users.ChangedUser))

    @routes.post("/{user_id}/unmerge", responses=_WRITING)
    async def unmerge_user(user_id: UUID, body: users.UnmergeOrder, actor: Staff) -> users.ChangedUser:
        """Take a merge back: everything is as if it had never been."""
        call = _decision("unmerge", user_id, actor, body)
        return await _decided(door, actor, call, await door.remote.ask(call, users.ChangedUser))

    @routes.get("/{user_id}/erase-preview", responses=documented(404))
    async def preview_erase(user_id: UUID) -> users.ErasePreview:
        """Return whom and how much an erasure would take. Changes nothing."""
        return await door.remote.ask(Call(Part.USERS, "GET", f"/users/{user_id}/erase-preview"), users.ErasePreview)

    @routes.post("/{user_id}/erase", responses=_WRITING)
    async def erase_user(user_id: UUID, body: users.EraseOrder, actor: Staff) -> users.Erased:
        """Remove a person everywhere, for good. Bookings, payments and their amounts stay."""
        call = _decision("erase", user_id, actor, body)
        return await _decided(door, actor, call, await door.remote.ask(call, users.Erased))


def _decision(what: str, user_id: UUID, actor: Actor, order: BaseModel) -> Call:
    return Call(
        Part.USERS,
        "POST",
        f"/users/{user_id}/{what}",
        body={**order.model_dump(mode="json"), "by": actor.name},
        patient=True,
    )


async def _decided(door: AdminDoor, actor: Actor, call: Call, outcome: Answer) -> Answer:
    """Record a decision that was taken, and return what came of it."""
    _, _, user_id, what = call.path.split("/")
    merged_into = (call.body or {}).get("into")
    await door.record(actor, action=f"user.{what}", entity=f"user/{user_id}", after={"merged_into": merged_into})
    return outcome


def _page(user_id: UUID, what: str, limit: int, cursor: str | None) -> Call:
    return Call(Part.USERS, "GET", f"/users/{user_id}/{what}", {"limit": limit, "cursor": cursor})


def _write(user_id: UUID, what: str, body: Mapping[str, Any], key: str | None) -> Call:
    return Call(Part.USERS, "POST", f"/users/{user_id}/{what}", body=body, headers=idempotent(key))
