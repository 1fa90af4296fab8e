"""The HTTP frame of every service: health, metrics, documentation, trace context and errors as RFC 9457."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Response
from opentelemetry import trace
from opentelemetry.context import attach, detach
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import metrics, problems, tracing
from shared.service import Service


def create_app(service: Service, *, title: str, description: str) -> FastAPI:
    """Return an application that runs ``service`` while it serves; the caller adds its routes."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(title=title, description=description, version="1", lifespan=lifespan, redoc_url=None)
    app.add_middleware(RequestContext)
    problems.answer_errors(app)
    _add_operations(app, service)
    app.state.service = service
    return app


def _add_operations(app: FastAPI, service: Service) -> None:
    """Add the endpoints operators and orchestrators use."""

    @app.get("/health/live", tags=["operations"])
    async def live() -> dict[str, str]:
        """Say that the event loop turns. A broker outage must not get the process killed."""
        return {"status": "live"}

    @app.get("/health/ready", tags=["operations"], responses={503: {"description": "Something is away"}})
    async def ready(response: Response) -> dict[str, str | dict[str, str]]:
        """Say whether everything this service needs answers, with the reason where it does not."""
        report = await service.health.report()
        problems = {name: problem for name, problem in report.items() if problem}
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        return {
            "status": "unavailable" if problems else "ready",
            "checks": {name: problem or "ok" for name, problem in report.items()},
        }

    @app.get("/metrics", tags=["operations"], response_class=Response)
    async def prometheus() -> Response:
        """Return Prometheus metrics."""
        await service.measure()
        return Response(generate_latest(service.metrics), media_type=CONTENT_TYPE_LATEST)

    @app.get("/asyncapi", tags=["operations"], response_class=Response)
    def asyncapi() -> Response:
        """Return the AsyncAPI document of the events this service consumes and publishes, as a page."""
        from shared import asyncapi  # here, because few ask for it and it would slow every start

        page = asyncapi.page(service.topology, consumes=service.handler.types, publishes=service.publishes)
        return Response(page, media_type="text/html")

    @app.get("/asyncapi.json", tags=["operations"], response_class=Response)
    def asyncapi_json() -> Response:
        """Return the AsyncAPI document."""
        from shared import asyncapi

        document = asyncapi.document(service.topology, consumes=service.handler.types, publishes=service.publishes)
        return Response(document, media_type="application/json")


class RequestContext:
    """Binds the caller's trace, or a new one, to everything a request causes; counts and times requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        span = tracing.request_span(_header(scope, b"traceparent"))
        token = attach(trace.set_span_in_context(span))
        correlation_id = f"{span.get_span_context().trace_id:032x}"
        started = time.perf_counter()
        status = [HTTPStatus.INTERNAL_SERVER_ERROR.value]
        try:
            with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
                await self._app(scope, receive, _noting(send, status, correlation_id))
        finally:
            detach(token)
            route = getattr(scope.get("route"), "path", "unmatched")
            metrics.HTTP_SECONDS.labels(scope["method"], route, status[0]).observe(time.perf_counter() - started)


def _noting(send: Send, status: list[int], correlation_id: str) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            status[0] = message["status"]
            message["headers"] = [*message["headers"], (b"x-correlation-id", correlation_id.encode())]
        await send(message)

    return noting


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
