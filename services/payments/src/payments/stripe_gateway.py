"""Stripe's library, kept behind this module: nothing else imports it."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import stripe
import structlog
from stripe import SignatureVerificationError, WebhookSignature

from payments.errors import DeliveryRefused, Reason, StripeAway, StripeRefused

log = structlog.get_logger(__name__)

_READ_ATTEMPTS = 8
_LONGEST_PAUSE = 30.0
# Not an answer to the question asked: too many requests, a lock, the same key in use by a call still under way.
_ASK_AGAIN = frozenset({408, 409, 425, 429})


def verify(body: bytes, header: str | None, *, secrets: Sequence[str], tolerance_seconds: int, now: float) -> None:
    """Check that one of our secrets signed exactly these bytes, lately.

    ``header`` is ``Stripe-Signature`` as received. The time is checked in both directions: the library looks at the
    past alone, and a captured delivery stamped ahead could be replayed until then. Raises :class:`DeliveryRefused`.
    https://docs.stripe.com/webhooks#verify-manually
    """
    if not any(_signed_by(secret, body, header) for secret in secrets):
        raise DeliveryRefused(Reason.SIGNATURE, "No signature in Stripe-Signature fits this body and our secrets.")
    if abs(now - _timestamp(header or "")) > tolerance_seconds:
        raise DeliveryRefused(
            Reason.TIMESTAMP, f"The signature's time is more than {tolerance_seconds} s away from ours."
        )


def _signed_by(secret: str, body: bytes, header: str | None) -> bool:
    """Ask the library; what it lets through besides its own error are oddities of the sender's, not of ours."""
    try:
        WebhookSignature.verify_header(body, header, secret)
    except UnicodeDecodeError:
        raise DeliveryRefused(Reason.ENCODING, "The body is not UTF-8.") from None
    except (SignatureVerificationError, TypeError, ValueError, AttributeError, RecursionError):
        return False
    return True


def _timestamp(header: str) -> int:
    """Return the time that was signed: with two ``t=`` the first counts, as in the library. Call after it passed."""
    return next(int(item.split("=")[1]) for item in header.split(",") if item.split("=")[0] == "t")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of Stripe's API as received.

    ``requested_at`` is when the question was sent, by our clock or the answer's ``Date``, whichever is earlier: what
    the answer shows is at least as new as that.
    """

    body: bytes
    data: Mapping[str, Any]
    requested_at: datetime
    request_id: str | None


class StripeApi:
    """Stripe's API: reads wait out 429 and 5xx, writes are made once and left to the caller to repeat.

    ``account`` is the connected account to ask about.
    """

    def __init__(
        self,
        key: str,
        *,
        base: str | None = None,
        account: str | None = None,
        timeout_seconds: float = 30.0,
        first_pause_seconds: float = 0.5,
    ) -> None:
        self._http = stripe.HTTPXClient(timeout=timeout_seconds)
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": base} if base else {},
            stripe_account=account,
            max_network_retries=0,
            http_client=self._http,
        )
        self._first_pause = first_pause_seconds

    async def get(self, path: str, **params: object) -> Answer:
        """Return an answer; raises :class:`StripeRefused`, and :class:`StripeAway` when it stays away."""
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                return await self._call("get", path, params)
            except StripeAway as away:
                if attempt == _READ_ATTEMPTS:
                    raise
                pause = away.retry_after or min(self._first_pause * 2 ** (attempt - 1), _LONGEST_PAUSE)
                log.warning("stripe_asked_again", path=path, attempt=attempt, seconds=pause, error=str(away))
                await asyncio.sleep(pause * random.uniform(1.0, 1.2))  # noqa: S311 - spreads replicas, guards nothing
        raise AssertionError("unreachable")

    async def create_refund(self, params: Mapping[str, object], *, idempotency_key: str) -> Answer:
        """Make one refund; the same key again is the same refund. Raises as :meth:`get`, without waiting.

        https://docs.stripe.com/api/refunds/create, https://docs.stripe.com/api/idempotent_requests
        """
        return await self._call("post", "/v1/refunds", {**params, "idempotency_key": idempotency_key})

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _call(self, method: str, path: str, params: Mapping[str, object]) -> Answer:
        sent = datetime.now(UTC)
        try:
            response = await self._client.raw_request_async(method, path, **params)
        except stripe.StripeError as error:
            raise _named(error) from error
        if not isinstance(response.data, Mapping):
            raise StripeAway("an answer of Stripe's is no object")
        return Answer(
            body=response.body.encode(),
            data=response.data,
            requested_at=min(sent, _date(response.headers) or sent),
            request_id=response.request_id,
        )


def _named(error: stripe.StripeError) -> StripeAway | StripeRefused:
    status = error.http_status
    if status is None or status >= 500 or status in _ASK_AGAIN or 200 <= status < 300:
        return StripeAway(f"{type(error).__name__} {status or ''}".strip(), retry_after=_retry_after(error.headers))
    return StripeRefused(status, error.code, error.user_message or type(error).__name__)


def _retry_after(headers: Mapping[str, str] | None) -> float | None:
    value = (headers or {}).get("retry-after", "")
    return min(float(value), _LONGEST_PAUSE) if value.isdigit() else None


def _date(headers: Mapping[str, str]) -> datetime | None:
    try:
        return parsedate_to_datetime(headers.get("date", "")).astimezone(UTC)
    except ValueError:
        return None
