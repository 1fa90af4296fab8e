"""Errors as answers: RFC 9457 problem documents, and their description for OpenAPI."""

from http import HTTPStatus
from typing import Any

import sqlalchemy.exc
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.database import is_transient
from shared.refusals import Refusal, Unauthorized

PROBLEM = "application/problem+json"
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
    403: "The caller may not do this",
    404: "There is no such thing",
    409: "Refused as things stand; `detail` says why, with the facts beside it",
    412: "It has changed since it was read",
    413: "The body is too large",
    422: "The request does not fit the contract",
    428: "`If-Match` is needed",
    429: "Too many attempts; `Retry-After` says for how many seconds",
    503: "No token or key is set, or what is needed is away",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problems an operation may answer, for its description."""
    content = {PROBLEM: {"schema": _SCHEMA}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in (401, 422, 503, *statuses)}


def answer_errors(app: FastAPI) -> None:
    """Answer every refusal, a database that is away, and what nobody expected as a problem.

    The last one goes on to the server all the same, which logs it.
    """
    app.add_exception_handler(HTTPException, _http)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _validation)  # type: ignore[arg-type]
    app.add_exception_handler(Refusal, _refusal)  # type: ignore[arg-type]
    app.add_exception_handler(sqlalchemy.exc.SQLAlchemyError, _database)
    app.add_exception_handler(OSError, _database)
    app.add_exception_handler(Exception, _unexpected)


def problem(status: int, detail: str, **extra: object) -> JSONResponse:
    """Return an RFC 9457 problem document."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **extra,
    }
    return JSONResponse(body, status_code=status, media_type=PROBLEM)


async def _http(_: Request, error: HTTPException) -> JSONResponse:
    answer = problem(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
    errors = [{"where": ".".join(map(str, item["loc"])), "what": item["msg"]} for item in error.errors()]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The request does not fit the contract.", errors=errors)


def refused(refusal: Refusal) -> JSONResponse:
    """Return the problem document of a refusal."""
    answer = problem(refusal.status, str(refusal), **refusal.facts)
    answer.headers.update(refusal.headers)
    if refusal.status == Unauthorized.status:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


async def _refusal(_: Request, refusal: Refusal) -> Response:
    return refused(refusal)


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return problem(500, "Something went wrong here; the service's log says what.")


async def _database(_: Request, error: Exception) -> Response:
    if not is_transient(error):
        raise error
    return problem(503, f"The database is away: {type(error).__name__}.")
