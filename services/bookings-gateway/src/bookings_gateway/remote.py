"""The other services' internal APIs: a client each, a short time limit, and their refusals passed on.

A call is made once: who repeats a write does so with the same ``Idempotency-Key``. A service that is away, or answers
what was not agreed on, costs its part of the admin alone (503).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import structlog
from pydantic import BaseModel, SecretStr, ValidationError

from bookings_gateway.errors import Declined, PartAway, PartNotReached
from shared.internal_api import INTERNAL
from shared.service import Service
from shared.tracing import child_traceparent

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer", bound=BaseModel)

_SECONDS = 1.0
_PATIENT_SECONDS = 20.0  # a refund waits for Stripe
_CONNECTING_SECONDS = 0.7  # before the time limit: a request that was never sent is not done for certain
_TIMEOUT = httpx.Timeout(None, connect=_CONNECTING_SECONDS, pool=_CONNECTING_SECONDS)  # the limit is of the whole call
_LIMITS = httpx.Limits(max_connections=50, max_keepalive_connections=20)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_PASSED_ON = frozenset([400, 404, 409, 412, 422, 428])
_BUSY = 503  # of the service itself, if it says when to come again; without that the service is as good as away
_RETRY_AFTER = "Retry-After"
_PROBLEM = frozenset(["type", "title", "status", "detail"])


class Part(StrEnum):
    """The services asked."""

    USERS = "users"
    PAYMENTS = "payments"
    STATS = "stats"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: to whom, what, and with which query, body and headers."""

    part: Part
    method: str
    path: str
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    patient: bool = False


class Remote:
    """The clients of the other services. ``transports`` replaces the network, for tests.

    Each has connections of its own: those that wait for a service that hangs are not what another is asked by.
    """

    def __init__(
        self,
        urls: Mapping[Part, str],
        token: SecretStr | None,
        transports: Mapping[str, httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._urls = {part: url.rstrip("/") for part, url in urls.items()}
        authorization = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        self._clients = {
            part: httpx.AsyncClient(
                timeout=_TIMEOUT, limits=_LIMITS, headers=authorization, mounts=transports or {}, trust_env=False
            )
            for part in urls
        }

    async def run(self, _: Service) -> None:
        """Close the connections when the service ends."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def ask(self, call: Call, model: type[Answer]) -> Answer:
        """Return what the service answers; raises :class:`Declined` or :class:`PartAway`."""
        return (await self.outcome(call, model))[1]

    async def outcome(self, call: Call, model: type[Answer]) -> tuple[int, Answer]:
        """Return likewise, after the status: 201 is new, 200 a repetition, 202 not settled yet."""
        response = await self._accepted(call)
        try:
            return response.status_code, model.model_validate_json(response.content)
        except ValidationError as error:
            log.warning("part_not_understood", part=call.part, path=call.path, errors=error.error_count())
            raise PartAway(call.part) from None

    async def tell(self, call: Call) -> None:
        """Have something done that has no answer; raises likewise."""
        await self._accepted(call)

    async def _accepted(self, call: Call) -> httpx.Response:
        response = await self._send(call)
        status = response.status_code
        if status in _PASSED_ON or (status == _BUSY and _RETRY_AFTER in response.headers):
            raise _declined(call, response)
        if not response.is_success:
            log.warning("part_refused", part=call.part, path=call.path, status=status)
            raise PartAway(call.part)
        return response

    async def _send(self, call: Call) -> httpx.Response:
        query = {name: value for name, value in (call.query or {}).items() if value is not None}
        try:
            async with asyncio.timeout(_PATIENT_SECONDS if call.patient else _SECONDS):
                return await self._clients[call.part].request(
                    call.method,
                    f"{self._urls[call.part]}{INTERNAL}{call.path}",
                    params=query or None,
                    json=call.body,
                    headers={"traceparent": child_traceparent(None), **(call.headers or {})},
                )
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("part_away", part=call.part, path=call.path, error=type(error).__name__)
            never_sent = isinstance(error, _NEVER_SENT)
            raise (PartNotReached if never_sent else PartAway)(call.part) from None


def idempotent(key: str | None) -> dict[str, str]:
    """Return the header by which a service knows a repetition: the caller's key, or one of our own."""
    return {"Idempotency-Key": key or str(uuid4())}


def _declined(call: Call, response: httpx.Response) -> Declined | PartAway:
    try:
        problem = response.json()
    except ValueError:
        return PartAway(call.part)
    if not isinstance(problem, dict) or "detail" not in problem:
        return PartAway(call.part)
    facts = {str(name): value for name, value in problem.items() if name not in _PROBLEM}
    retry_after = response.headers.get(_RETRY_AFTER)
    return Declined(HTTPStatus(response.status_code), str(problem["detail"]), facts, retry_after=retry_after)
