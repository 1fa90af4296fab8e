"""Who may call the internal API, and how its refusals look."""

import hmac
from collections.abc import Callable
from typing import Annotated, Any

import sqlalchemy.exc
from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.responses import Response

from payments.errors import NoInternalToken, Refusal, Unauthorized
from payments.settings import Settings
from shared.database import is_transient
from shared.web import PROBLEM, problem

_bearer = HTTPBearer(auto_error=False, description="PAYMENTS_INTERNAL_TOKEN, shared between services")
_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_MEANINGS = {
    400: "The body cannot be read",
    401: "No bearer token, or a wrong one",
    404: "There is no such payment or booking",
    409: "Refused as things stand; `detail` says why, with the facts beside it",
    422: "The request does not fit the contract",
    503: "No token or API key is set, or the database is away",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problems an operation may answer, for its description."""
    content = {PROBLEM: {"schema": _SCHEMA}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in (401, 422, 503, *statuses)}


def require_token(settings: Settings) -> Callable[..., None]:
    """Return a dependency that lets nobody in who does not bear the shared token."""
    expected = settings.internal_token.get_secret_value().encode() if settings.internal_token else None

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        if expected is None:
            raise NoInternalToken
        if given is None or not hmac.compare_digest(given.credentials.encode(), expected):
            raise Unauthorized

    return check


def add_refusals(app: FastAPI) -> None:
    """Answer named refusals, and a database that is away, as RFC 9457 problems."""
    app.add_exception_handler(Refusal, _refusal)  # type: ignore[arg-type]
    app.add_exception_handler(sqlalchemy.exc.SQLAlchemyError, _database)
    app.add_exception_handler(OSError, _database)


async def _refusal(_: Request, refusal: Refusal) -> Response:
    answer = problem(refusal.status, str(refusal), **refusal.facts)
    if refusal.status == Unauthorized.status:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


async def _database(_: Request, error: Exception) -> Response:
    if not is_transient(error):
        raise error
    return problem(503, f"The database is away: {type(error).__name__}.")
