"""The guard stands before the admin API: who asks, may they, and in a session, did their own page ask.

Before the body is read and before any route runs. Default deny: below the prefix only the login answers without one,
and an application with a route the policy table does not know is not made.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette._utils import get_route_path
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bookings_gateway.access.actor import Actor, Role
from bookings_gateway.access.browser import Browser
from bookings_gateway.access.errors import Forbidden, NoSuchPath, NotLoggedIn, UnruledRoute
from bookings_gateway.access.policy import LEGACY, LOGIN, POLICY, PREFIX, is_below
from bookings_gateway.access.recent import Kind, Recent
from bookings_gateway.access.secrets import hashed
from bookings_gateway.access.sessions import Sessions
from bookings_gateway.access.tokens import find_token
from shared.database import is_transient
from shared.problems import problem, refused
from shared.refusals import Refusal

LookUp = Callable[[AsyncEngine, bytes], Awaitable[Actor | None]]

_SAFE = frozenset(["GET", "HEAD", "OPTIONS"])
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_AWAY = "The database cannot be reached; try again"


@dataclass(frozen=True, slots=True)
class Rule:
    """One route: its own pattern, and the least role; ``None`` is the login."""

    method: str
    pattern: re.Pattern[str]
    least: Role | None


@dataclass(frozen=True, slots=True)
class Access:
    """What the guard asks: ``engine`` commits by itself, so that a look-up is one round trip."""

    engine: AsyncEngine
    sessions: Sessions
    browser: Browser
    recent: Recent

    async def identify(self, connection: HTTPConnection) -> tuple[Actor, str | None]:
        """Return who asks, and the id of their session if it is by one; raises :class:`NotLoggedIn`.

        A request with a token is never one by cookie, so that no CSRF token is asked of programs, nor one spared a
        browser.
        """
        authorization = connection.headers.get("authorization")
        if authorization is not None:
            return await self._find(Kind.BEARER, _token_of(authorization), find_token), None
        session_id = connection.cookies.get(self.browser.cookie, "")
        return await self._find(Kind.COOKIE, session_id, self.sessions.find), session_id

    async def _find(self, kind: Kind, secret: str, look_up: LookUp) -> Actor:
        if not secret:
            raise NotLoggedIn
        key = hashed(secret)
        actor = self.recent.get(kind, key)
        if actor is None:
            actor = await look_up(self.engine, key)
            if actor is None:
                raise NotLoggedIn
            self.recent.keep(kind, key, actor)
        return actor


def _token_of(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def guard(app: FastAPI, access: Access) -> None:
    """Put the guard before the routes of ``app``, all of which are added by now; raises :class:`UnruledRoute`.

    Innermost, so that what it refuses has its correlation id and is counted.
    """
    app.user_middleware.append(Middleware(Guard, access=access, rules=rules_of(app, POLICY)))


def rules_of(app: FastAPI, policy: Mapping[tuple[str, str], Role]) -> list[Rule]:
    """Return the rules in the order in which the routes are tried, by the very patterns they are found by."""
    rules = []
    for route in iter_route_contexts(app.routes):
        if not (route.path or "").startswith(PREFIX):
            continue
        if not route.methods:  # what is mounted, or a socket: neither has a place in the table
            raise UnruledRoute(f"{route.path} has no methods, so access/policy.py cannot rule it")
        for method in sorted(route.methods):
            key = (method, route.path or "")
            if key != LOGIN and key not in policy:
                raise UnruledRoute(f"{method} {route.path} is not in access/policy.py")
            rules.append(Rule(method, route.path_regex, policy.get(key)))
    return rules


class Guard:
    """ASGI middleware; puts ``actor`` and ``session_id`` on the request's state."""

    def __init__(self, app: ASGIApp, access: Access, rules: list[Rule]) -> None:
        self._app = app
        self._access = access
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = get_route_path(scope) if scope["type"] == "http" else ""  # the one the router goes by
        if not is_below(PREFIX, path):
            await self._app(scope, receive, send)
            return
        answer = await self._refusal(scope, path)
        await (answer or self._app)(scope, receive, _private(send))

    async def _refusal(self, scope: Scope, path: str) -> JSONResponse | None:
        """Return the answer to a request that may not go on; a legacy one in the legacy form."""
        is_legacy = is_below(LEGACY, path)
        try:
            await self._admit(HTTPConnection(scope), path)
        except Refusal as refusal:
            return _legacy(refusal.status, str(refusal)) if is_legacy else refused(refusal)
        except Exception as error:
            if not is_transient(error):
                raise
            return _legacy(503, _AWAY) if is_legacy else problem(503, _AWAY)
        return None

    async def _admit(self, connection: HTTPConnection, path: str) -> None:
        """Put the actor on the request; raises a :class:`Refusal` if it may not go on."""
        if _CONTROL.search(path):  # a pattern's end also fits before a newline, so rules and routes may not agree
            raise NoSuchPath
        method, browser = connection.scope["method"], self._access.browser
        least = self._least(method, path)
        if least is None:
            browser.require_own_page(connection.headers)
            return
        actor, session_id = await self._access.identify(connection)
        if session_id and method not in _SAFE:
            browser.require_own_page(connection.headers)
            browser.require_csrf_token(connection.headers, session_id)
        if not actor.role.includes(least):
            raise Forbidden(least)
        connection.state.actor, connection.state.session_id = actor, session_id

    def _least(self, method: str, path: str) -> Role | None:
        """Return the least role of the first route that fits; what no route fits is not found, but by staff alone."""
        for rule in self._rules:
            if rule.method == method and rule.pattern.match(path):
                return rule.least
        return Role.VIEWER


def _private(send: Send) -> Send:
    """Let no cache keep an answer, and no browser guess what kind of thing it is."""

    async def private(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_HEADERS]
        await send(message)

    return private


def _legacy(status: int, message: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == NotLoggedIn.status else None
    return JSONResponse({"error": message}, status_code=status, headers=headers)
