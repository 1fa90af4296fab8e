"""The other services' internal APIs: one client, a short time limit, and their refusals passed on.

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

from bookings_gateway.errors import Declined, PartAway
from shared.internal_api import INTERNAL
from shared.service import Service
from shared.tracing import child_traceparent

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer", bound=BaseModel)

_SECONDS = 1.0
_PATIENT_SECONDS = 20.0  # a refund waits for Stripe
_PASSED_ON = frozenset([400, 404, 409, 412, 422, 428])
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
    """The clients of the other services. ``transports`` replaces the network, for tests."""

    def __init__(
        self,
        urls: Mapping[Part, str],
        token: SecretStr | None,
        transports: Mapping[str, httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._urls = {part: url.rstrip("/") for part, url in urls.items()}
        authorization = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        self._client = httpx.AsyncClient(
            timeout=_SECONDS, headers=authorization, mounts=transports or {}, trust_env=False
        )

    async def run(self, _: Service) -> None:
        """Close the connections when the service ends."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._client.aclose()

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
        if response.status_code in _PASSED_ON:
            raise _declined(call, response)
        if not response.is_success:
            log.warning("part_refused", part=call.part, path=call.path, status=response.status_code)
            raise PartAway(call.part)
        return response

    async def _send(self, call: Call) -> httpx.Response:
        query = {name: value for name, value in (call.query or {}).items() if value is not None}
        try:
            return await self._client.request(
                call.method,
                f"{self._urls[call.part]}{INTERNAL}{call.path}",
                params=query or None,
                json=call.body,
                headers={"traceparent": child_traceparent(None), **(call.headers or {})},
                timeout=_PATIENT_SECONDS if call.patient else _SECONDS,
            )
        except httpx.HTTPError as error:
            log.warning("part_away", part=call.part, path=call.path, error=type(error).__name__)
            raise PartAway(call.part) from None


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
    return Declined(HTTPStatus(response.status_code), str(problem["detail"]), facts)
