"""The HTTP door: where Stripe delivers."""

import time
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from payments import metrics, stripe_gateway
from payments.errors import DeliveryRefused, NotStored, Reason
from payments.service.record_delivery import Delivery, DeliveryRecorder
from payments.settings import Settings
from shared.web import PROBLEM, problem

log = structlog.get_logger(__name__)

PATH = "/api/webhooks/stripe"
_LARGEST_BODY = 1024 * 1024
_ACCEPTED = b'{"received":true}'


class Webhook:
    """Parse, record, answer. A plain route: it is the one place here where microseconds count."""

    def __init__(self, settings: Settings, recorder: DeliveryRecorder) -> None:
        self._secrets = settings.webhook_secrets
        self._tolerance = settings.webhook_tolerance_seconds
        self._recorder = recorder
        self.route = Route(PATH, self.receive, methods=["POST"])

    async def receive(self, request: Request) -> Response:
        """Answer 2xx only after the delivery is committed; anything else makes Stripe send it again."""
        request.scope["route"] = self.route  # FastAPI's own routes say so too: requests are counted by it
        try:
            await self._recorder.record(await self._verified(request))
        except DeliveryRefused as refused:
            metrics.DELIVERIES.labels(refused.reason).inc()
            log.warning("delivery_refused", reason=refused.reason)
            return problem(refused.status, str(refused), reason=refused.reason)
        except NotStored as error:
            metrics.DELIVERIES.labels("not_stored").inc()
            return problem(503, f"The delivery was not stored: {error}.")
        metrics.DELIVERIES.labels("stored").inc()
        return Response(_ACCEPTED, media_type="application/json")

    async def _verified(self, request: Request) -> Delivery:
        body = await _read(request)
        stripe_gateway.verify(
            body,
            request.headers.get("stripe-signature"),
            secrets=self._secrets,
            tolerance_seconds=self._tolerance,
            now=time.time(),
        )
        return Delivery.of(body, request.headers.raw)


async def _read(request: Request) -> bytes:
    """Return the raw body; stops reading at the limit, whatever length was announced."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _LARGEST_BODY:
            raise DeliveryRefused(Reason.TOO_LARGE, f"The body is larger than {_LARGEST_BODY} bytes.")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def add_routes(app: FastAPI, webhook: Webhook) -> None:
    """Add the route and describe it; call after all other routes, the description is composed here."""
    app.router.routes.append(webhook.route)
    app.openapi()["paths"][PATH] = {"post": _OPERATION}


_PROBLEM_CONTENT: dict[str, Any] = {PROBLEM: {"schema": {"type": "object"}}}
_OPERATION: dict[str, Any] = {
    "tags": ["webhooks"],
    "summary": "Take one signed Stripe event",
    "operationId": "receive_stripe_event",
    "parameters": [
        {
            "name": "Stripe-Signature",
            "in": "header",
            "required": True,
            "description": "t=<unix seconds>,v1=<HMAC-SHA256 of `t.body`>[,v1=…]",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {
        "200": {"description": "The delivery is stored", "content": {"application/json": {}}},
        "400": {"description": "Not signed by our secret, too old, or no event", "content": _PROBLEM_CONTENT},
        "413": {"description": "Larger than 1 MiB", "content": _PROBLEM_CONTENT},
        "503": {"description": "Not stored: send it again", "content": _PROBLEM_CONTENT},
    },
}
