"""The HTTP door: where Stripe delivers."""

import time
from functools import lru_cache
from typing import Any

import structlog
from fastapi import FastAPI
from prometheus_client import Histogram
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from payments import metrics, stripe_gateway
from payments.errors import DeliveryRefused, NotStored, Reason
from payments.service.record_delivery import Delivery, DeliveryRecorder
from payments.settings import Settings
from shared.metrics import HTTP_SECONDS
from shared.problems import PROBLEM, problem

log = structlog.get_logger(__name__)

PATH = "/api/webhooks/stripe"
_LARGEST_BODY = 1024 * 1024
_SIGNATURE = b"stripe-signature"
_ACCEPTED = b'{"received":true}'
_ACCEPTED_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(_ACCEPTED)).encode())],
}
_ACCEPTED_BODY = {"type": "http.response.body", "body": _ACCEPTED}
_STORED = metrics.DELIVERIES.labels("stored")


class Webhook:
    """Parse, record, answer. Plain ASGI: it is the one place here where microseconds count."""

    def __init__(self, settings: Settings, recorder: DeliveryRecorder) -> None:
        self._secrets = settings.webhook_secrets
        self._tolerance = settings.webhook_tolerance_seconds
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 2xx only after the delivery is committed; anything else makes Stripe send it again."""
        started = time.perf_counter()
        refusal = await self._record(scope, receive)
        if refusal is None:
            await send(_ACCEPTED_START)
            await send(_ACCEPTED_BODY)
        else:
            await refusal(scope, receive, send)
        _seconds(200 if refusal is None else refusal.status_code).observe(time.perf_counter() - started)

    async def _record(self, scope: Scope, receive: Receive) -> Response | None:
        """Return the refusal, or nothing when the delivery is stored."""
        try:
            await self._recorder.record(self._verified(scope, await _read(receive)))
        except DeliveryRefused as refused:
            metrics.DELIVERIES.labels(refused.reason).inc()
            log.warning("delivery_refused", reason=refused.reason)
            return problem(refused.status, str(refused), reason=refused.reason)
        except NotStored as error:
            metrics.DELIVERIES.labels("not_stored").inc()
            return problem(503, f"The delivery was not stored: {error}.")
        _STORED.inc()
        return None

    def _verified(self, scope: Scope, body: bytes) -> Delivery:
        headers = scope["headers"]
        signature = next((value.decode("latin-1") for name, value in headers if name == _SIGNATURE), None)
        stripe_gateway.verify(
            body, signature, secrets=self._secrets, tolerance_seconds=self._tolerance, now=time.time()
        )
        return Delivery.of(body, headers)


class Front:
    """Takes deliveries before any middleware sees them, which costs more than all that is done here."""

    def __init__(self, webhook: Webhook, app: ASGIApp) -> None:
        self._webhook = webhook
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_delivery = scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST"
        await (self._webhook if is_delivery else self._app)(scope, receive, send)


@lru_cache(maxsize=16)
def _seconds(status: int) -> Histogram:
    return HTTP_SECONDS.labels("POST", PATH, status)


async def _read(receive: Receive) -> bytes:
    """Return the raw body; stops reading at the limit, whatever length was announced."""
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DeliveryRefused(Reason.INCOMPLETE, "The body ended before its time.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > _LARGEST_BODY:
            raise DeliveryRefused(Reason.TOO_LARGE, f"The body is larger than {_LARGEST_BODY} bytes.")
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def add_routes(app: FastAPI, webhook: Webhook) -> None:
    """Put the webhook in front and describe it; call after all other routes, the description is composed here."""
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Front(webhook, build())  # type: ignore[method-assign]
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
