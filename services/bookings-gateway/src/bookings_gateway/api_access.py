"""The HTTP door of access: log in and out, who am I, and what was done by whom."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access import audit
from bookings_gateway.access.actor import Actor, current_actor
from bookings_gateway.access.browser import Browser
from bookings_gateway.access.login import Attempted, log_in, log_out
from bookings_gateway.access.policy import PREFIX
from bookings_gateway.access.recent import Kind, Recent
from bookings_gateway.access.schemas import AuditLine, AuditPage, AuditQuery, Credentials, SessionState
from bookings_gateway.access.secrets import csrf_token, hashed
from bookings_gateway.access.sessions import Sessions
from shared.problems import documented

_LONGEST_BODY = 16 * 1024  # anybody may send one

Who = Annotated[Actor, Depends(current_actor)]


@dataclass(frozen=True, slots=True)
class AccessDoor:
    """What the routes call."""

    engine: AsyncEngine
    sessions: Sessions
    browser: Browser
    recent: Recent


def create_router(door: AccessDoor) -> APIRouter:
    """Return the routes of login, session and audit."""
    router = APIRouter(prefix=PREFIX, tags=["access"], max_body_size=_LONGEST_BODY)
    _add_session(router, door)
    _add_audit(router, door.engine)
    return router


def _add_session(router: APIRouter, door: AccessDoor) -> None:
    @router.post("/login", responses=documented(400, 401, 403, 413, 429))
    async def login(body: Credentials, request: Request, response: Response) -> SessionState:
        """Open a session: a cookie for the browser, and the token its writes have to carry."""
        attempted = Attempted(
            email=body.email,
            password=body.password.get_secret_value(),
            address=request.client.host if request.client else "",
            session_id=request.cookies.get(door.browser.cookie),
        )
        session_id, actor = await log_in(door.engine, door.sessions, attempted)
        door.recent.drop(Kind.COOKIE, hashed(attempted.session_id or ""))
        door.browser.give(response, session_id)
        return _state(actor, session_id)

    @router.get("/session")
    async def session(actor: Who, request: Request) -> SessionState:
        """Say who is asking, and give the CSRF token again."""
        return _state(actor, request.state.session_id)

    @router.post("/logout", status_code=204)
    async def logout(actor: Who, request: Request, response: Response) -> None:
        """End the session. A token stays: it is revoked by `bookings-gateway tokens revoke`."""
        if session_id := request.state.session_id:
            await log_out(door.engine, door.sessions, actor, session_id)
            door.recent.drop(Kind.COOKIE, hashed(session_id))
            door.browser.take_back(response)


def _state(actor: Actor, session_id: str | None) -> SessionState:
    token = csrf_token(session_id) if session_id else None
    return SessionState(id=actor.id, name=actor.name, role=actor.role, csrf_token=token)


def _add_audit(router: APIRouter, engine: AsyncEngine) -> None:
    @router.get("/audit", responses=documented())
    async def read_audit(query: Annotated[AuditQuery, Query()]) -> AuditPage:
        """Return who did what, newest first, page by page. Later lines never shift a page."""
        wanted = audit.Wanted(
            below=query.cursor,
            actor_id=query.actor,
            limit=query.limit + 1,
            **query.model_dump(include={"action", "entity", "outcome", "since", "until"}),
        )
        rows = await audit.find(engine, wanted)
        lines = [AuditLine.model_validate(dict(row)) for row in rows[: query.limit]]
        return AuditPage(data=lines, next=lines[-1].id if len(rows) > query.limit else None)
