"""Errors below the legacy prefix that are none of its routes: no such path or method, an unreadable body, a failure."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException

from bookings_gateway.access.policy import LEGACY, is_below
from shared.refusals import Refusal

Handle = Callable[[Request, Any], Awaitable[Response]]


def answer_in_legacy_form(app: FastAPI) -> None:
    """Have problem documents say ``{"error": detail}`` there; everywhere else they stay what they are."""
    for kind in (HTTPException, Refusal, SQLAlchemyError, OSError, Exception):
        app.add_exception_handler(kind, _in_legacy_form(cast("Handle", app.exception_handlers[kind])))


def _in_legacy_form(handle: Handle) -> Handle:
    async def answer(request: Request, error: Exception) -> Response:
        problem = await handle(request, error)
        if not is_below(LEGACY, get_route_path(request.scope)):
            return problem
        kept = {name: value for name, value in problem.headers.items() if not name.startswith("content-")}
        return JSONResponse({"error": json.loads(bytes(problem.body))["detail"]}, problem.status_code, kept)

    return answer
