"""The HTTP door: the legacy API, with the legacy form of errors."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from bookings_gateway.errors import LegacyError, LegacyTableMissing, LegacyTableUnfit
from bookings_gateway.listing import Filter
from bookings_gateway.schemas import bodies
from bookings_gateway.service import Bookings
from shared.database import is_transient

log = structlog.get_logger(__name__)

_JSON = "application/json"
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": 'The request is refused: `{"error": "…"}`'},
    404: {"description": 'There is no such booking: `{"error": "Booking not found"}`'},
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


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)


def _sentence(error: RequestValidationError) -> str:
    problems = (f"{'.'.join(map(str, item['loc'][1:])) or 'body'}: {item['msg']}" for item in error.errors())
    return "; ".join(problems)


def create_router(bookings: Bookings) -> APIRouter:
    """Return the legacy routes over ``bookings``."""
    router = APIRouter(
        prefix="/api/admin/bookings", tags=["bookings (legacy)"], route_class=LegacyRoute, responses=_ERRORS
    )
    _add_reading(router, bookings)
    _add_writing(router, bookings)
    return router


def _add_reading(router: APIRouter, bookings: Bookings) -> None:
    @router.get("", response_class=Response)
    async def list_bookings(
        search: Annotated[str | None, Query(description="In name, e-mail, phone, company, reference")] = None,
        status: Annotated[str | None, Query(description="In any case")] = None,
        limit: Annotated[int | None, Query(ge=1)] = None,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        """Return bookings as a bare array, newest first; `X-Total-Count` counts them before limit and offset."""
        listing = await bookings.find(Filter(search, status, limit, offset))
        return Response(listing.body, media_type=_JSON, headers={"X-Total-Count": str(listing.total)})

    @router.get("/{booking_id}", response_class=Response)
    async def get_booking(booking_id: str) -> Response:
        """Return one booking."""
        return Response(await bookings.get(booking_id), media_type=_JSON)


def _add_writing(router: APIRouter, bookings: Bookings) -> None:
    models = bodies(bookings.tables.layout)  # made at run time, which is what the two ignored types say

    @router.post("", status_code=201, response_class=Response)
    async def create_booking(
        body: models.new,  # type: ignore[name-defined]
    ) -> Response:
        """Make a booking; id, reference, status and times are added where they are not given."""
        return Response(await bookings.create(body.given()), status_code=201, media_type=_JSON)

    @router.put("/{booking_id}", response_class=Response)
    async def update_booking(
        booking_id: str,
        body: models.change,  # type: ignore[name-defined]
    ) -> Response:
        """Change the given fields of a booking."""
        return Response(await bookings.update(booking_id, body.given()), media_type=_JSON)

    @router.delete("/{booking_id}")
    async def delete_booking(booking_id: str) -> dict[str, bool]:
        """Delete a booking for good."""
        await bookings.delete(booking_id)
        return {"success": True}
