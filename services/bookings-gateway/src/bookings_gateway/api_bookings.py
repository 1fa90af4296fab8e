"""The HTTP door: the legacy API, with the legacy form of errors."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute

from bookings_gateway.access.actor import Actor, current_actor
from bookings_gateway.access.policy import LEGACY
from bookings_gateway.admin_door import NO_NUL
from bookings_gateway.age import AGE_HEADER, AGED, Age
from bookings_gateway.errors import LegacyError, LegacyTableMissing, LegacyTableUnfit
from bookings_gateway.listing import Filter
from bookings_gateway.rollout.switch import Rollout
from bookings_gateway.schemas import answered, bodies
from shared.database import is_transient

log = structlog.get_logger(__name__)

Who = Annotated[Actor, Depends(current_actor)]

_JSON = "application/json"
_LARGEST = 2**63 - 1  # as PostgreSQL's LIMIT and OFFSET take it
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": 'The request is refused: `{"error": "…"}`'},
    404: {"description": 'There is no such booking: `{"error": "Booking not found"}`'},
    409: {"description": 'Another has this id or reference already: `{"error": "…"}`'},
}

_CHANGED: dict[int | str, dict[str, Any]] = {
    412: {"description": 'It is not the version of `If-Match`: `{"error": "…"}`'}
}


class LegacyRoute(APIRoute):
    """A route whose errors read ``{"error": "…"}``, as the old server's did."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_as_legacy(request: Request) -> Response:
            try:
                return await handle(request)
            except LegacyError as error:
                return _error(error.status, error.message)
            except RequestValidationError as error:
                return _error(400, _sentence(error))
            except (LegacyTableMissing, LegacyTableUnfit) as error:
                return _error(503, str(error))
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("legacy_request_unavailable", error=type(error).__name__)
                return _error(503, "The database cannot be reached; try again")

        return handle_as_legacy


def _versions(if_match: str | None) -> frozenset[str] | None:
    """Return the versions named; ``None`` where any will do."""
    if if_match is None or if_match.strip() == "*":
        return None
    return frozenset(each.strip().removeprefix('"').removesuffix('"') for each in if_match.split(","))


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)


def _sentence(error: RequestValidationError) -> str:
    problems = (f"{'.'.join(map(str, item['loc'][1:])) or 'body'}: {item['msg']}" for item in error.errors())
    return "; ".join(problems)


def create_router(rollout: Rollout) -> APIRouter:
    """Return the legacy routes; ``rollout`` says who gets which answers."""
    router = APIRouter(prefix=LEGACY, tags=["bookings (legacy)"], route_class=LegacyRoute, responses=_ERRORS)
    booking = {"content": {_JSON: {"schema": answered(rollout.bookings.tables.layout)}}}
    _add_reading(router, rollout, booking)
    _add_writing(router, rollout, booking)
    return router


def _add_reading(router: APIRouter, rollout: Rollout, booking: dict[str, Any]) -> None:
    age = Age(rollout.bookings.engine)
    rows = {"type": "array", "items": booking["content"][_JSON]["schema"]}
    counted = {"X-Total-Count": {"description": "How many match, with `limit`", "schema": {"type": "integer"}}}
    versioned = {"ETag": {"description": "What `If-Match` of a change takes", "schema": {"type": "string"}}}
    listed = {"content": {_JSON: {"schema": rows}}, "headers": {**counted, **AGED["headers"]}}

    @router.get("", response_class=Response, responses={200: listed})
    async def list_bookings(
        actor: Who,
        search: Annotated[
            str | None, Query(pattern=NO_NUL, description="In name, e-mail, phone, company, reference")
        ] = None,
        status: Annotated[str | None, Query(pattern=NO_NUL, description="In any case")] = None,
        limit: Annotated[int | None, Query(ge=1, le=_LARGEST)] = None,
        offset: Annotated[int, Query(ge=0, le=_LARGEST)] = 0,
    ) -> Response:
        """Return bookings as a bare array, newest first; `X-Total-Count` counts them before limit and offset.

        `X-Read-Model-Heard` says how old what is added to them is.
        """
        body, total = await rollout.find(actor, Filter(search, status, limit, offset))
        headers = {"X-Total-Count": str(total), AGE_HEADER: await age.value()} if total is not None else {}
        return Response(body, media_type=_JSON, headers=headers)

    @router.get("/export", response_class=StreamingResponse, responses={200: {"content": {"text/csv": {}}}})
    async def export_bookings(
        actor: Who,
        search: Annotated[str | None, Query(pattern=NO_NUL, description="As in the listing")] = None,
        status: Annotated[str | None, Query(pattern=NO_NUL, description="In any case")] = None,
    ) -> StreamingResponse:
        """Return bookings as CSV in UTF-8, newest first; formulas quoted by an apostrophe."""
        lines = rollout.export(actor, Filter(search, status))
        first = await anext(lines)  # what is wrong with the table is found before the answer has begun
        return StreamingResponse(
            _following(first, lines),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="bookings.csv"'},
        )

    @router.get("/{booking_id}", response_class=Response, responses={200: {**booking, "headers": versioned}})
    async def get_booking(actor: Who, booking_id: str) -> Response:
        """Return one booking. `ETag` is what `If-Match` of a change takes."""
        version = await rollout.bookings.version(booking_id)  # before what it names: never newer than that
        body = await rollout.get(actor, booking_id)
        return Response(body, media_type=_JSON, headers={"ETag": f'"{version}"'} if version else {})


async def _following(first: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for page in lines:
        yield page


def _add_writing(router: APIRouter, rollout: Rollout, booking: dict[str, Any]) -> None:
    bookings = rollout.bookings
    models = bodies(bookings.tables.layout)  # made at run time, which is what the two ignored types say

    @router.post("", status_code=201, response_class=Response, responses={201: booking})
    async def create_booking(
        actor: Who,
        body: models.new,  # type: ignore[name-defined]
    ) -> Response:
        """Make a booking; id, reference, status and times are added where they are not given."""
        written = await rollout.create(actor, body.given())
        return Response(written, status_code=201, media_type=_JSON)

    @router.put("/{booking_id}", response_class=Response, responses={**_CHANGED, 200: booking})
    async def update_booking(
        actor: Who,
        booking_id: str,
        body: models.change,  # type: ignore[name-defined]
        if_match: Annotated[str | None, Header(description="The `ETag` the booking was read with")] = None,
    ) -> Response:
        """Change the given fields of a booking; with `If-Match`, only if nobody else has changed it since."""
        written = await rollout.update(actor, booking_id, body.given(), seen=_versions(if_match))
        return Response(written, media_type=_JSON)

    @router.delete("/{booking_id}")
    async def delete_booking(actor: Who, booking_id: str) -> dict[str, bool]:
        """Delete a booking for good."""
        await bookings.delete(actor, booking_id)
        return {"success": True}
