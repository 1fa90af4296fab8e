"""Exports take turns: each holds a database connection for as long as its client reads, and others want some too."""

from fastapi.responses import JSONResponse
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from bookings_gateway.access.policy import LEGACY, POLICY
from bookings_gateway.errors import TooManyExports
from shared.problems import refused

EXPORTS = frozenset(path for _, path in POLICY if path.endswith("/export"))


class ExportTurns:
    """ASGI middleware, behind the guard: lets ``most`` exports run at once; one more is asked to come again."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._free = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = get_route_path(scope) if scope["type"] == "http" else ""
        if path not in EXPORTS:
            await self._app(scope, receive, send)
        elif not self._free:
            await _refusal(path)(scope, receive, send)
        else:
            self._free -= 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._free += 1


def _refusal(path: str) -> JSONResponse:
    refusal = TooManyExports()
    if path.startswith(LEGACY):
        return JSONResponse({"error": str(refusal)}, status_code=refusal.status, headers=dict(refusal.headers))
    return refused(refusal)
