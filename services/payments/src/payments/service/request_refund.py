"""Refund: our row first, then Stripe. However often either is repeated, it is one refund.

The row's id makes Stripe's idempotency key. Stripe forgets keys after a day, so before a repeated call the payment's
refunds are listed and the one that carries our id is taken instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments.errors import (
    KeyReused,
    NoSuchPayment,
    NotRefundable,
    RefundExceedsPayment,
    StripeAway,
    StripeRefused,
    UnreadableEvent,
    UnusableAmount,
)
from payments.service.apply_fetched import apply_fetched
from payments.stripe_gateway import Answer, StripeApi
from shared.money import to_decimal, to_minor

log = structlog.get_logger(__name__)

_NAMESPACE = UUID("0b3c1f2e-7c1d-5f0a-9a55-3d9a6f0f7d21")
_OURS = "refund_request"
_REASONS = frozenset({"duplicate", "fraudulent", "requested_by_customer"})
_LEASE_SECONDS = 120.0  # longer than one call may take: a row is not sent twice at once, though that would be harmless
_BACKOFF_SECONDS = (10.0, 60.0, 600.0, 3600.0)
_LARGEST = 10**15

# The payment's row is locked, so two requests for the last of the money see each other. Accepted ones are already in
# `refunded`: they are accepted in the transaction that takes their refund in.
_LOCK_PAYMENT = text(
    """
    SELECT p.id, p.currency, p.received, p.refunded, p.stripe_payment_intent_id, p.stripe_charge_id,
           (SELECT coalesce(sum(amount), 0) FROM refund_request
            WHERE payment_id = p.id AND state = 'pending')::bigint AS pending
    FROM payment p WHERE p.id = :id AND p.currency IS NOT NULL FOR UPDATE
    """
)
_FIND = text("SELECT * FROM refund_request WHERE id = :id")
_INSERT = text(
    """
    INSERT INTO refund_request (id, payment_id, amount, currency, reason, requested_by, attempts, next_attempt_at)
    VALUES (:id, :payment_id, :amount, :currency, :reason, :by, 1, now() + make_interval(secs => :lease))
    RETURNING *
    """
)
_CLAIM = text(
    """
    UPDATE refund_request SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => :lease)
    WHERE id = (
        SELECT id FROM refund_request WHERE next_attempt_at <= now()
        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING *
    """
)
_DECIDE = text(
    """
    UPDATE refund_request SET
        state = :state, stripe_refund_id = :stripe_refund_id, error = :error, decided_at = now(),
        next_attempt_at = NULL
    WHERE id = :id AND state = 'pending'
    """
)
_LATER = text(
    """
    UPDATE refund_request SET error = :error, next_attempt_at = now() + make_interval(secs => :pause)
    WHERE id = :id AND state = 'pending'
    """
)
_ROOT = text("SELECT stripe_payment_intent_id, stripe_charge_id FROM payment WHERE id = :id")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """A refund somebody asked for. ``amount`` is minor units; ``state`` is pending, accepted or refused."""

    id: UUID
    payment_id: UUID
    amount: int
    currency: str
    reason: str | None
    requested_by: str
    requested_at: datetime
    state: str
    attempts: int
    next_attempt_at: datetime | None
    error: str | None
    stripe_refund_id: str | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class RefundDesk:
    """Takes requests and brings them to Stripe."""

    engine: AsyncEngine
    api: StripeApi
    source: str

    async def refund(
        self, payment_id: UUID, *, key: str, amount: Decimal, reason: str | None, by: str
    ) -> tuple[RefundRequest, bool]:
        """Record a refund and try at once to make it; one Stripe did not answer is still ``pending``.

        Returns the request and whether it is new. ``key`` is the caller's: the same again is the same refund. Raises
        :class:`NoSuchPayment`, :class:`UnusableAmount`, :class:`RefundExceedsPayment`, :class:`NotRefundable`,
        :class:`KeyReused`.
        """
        async with self.engine.begin() as connection:
            asked, is_new = await _record(connection, payment_id, key=key, amount=amount, reason=reason, by=by)
        return (await self._send(asked) if is_new else asked), is_new

    async def send_due(self) -> bool:
        """Send one request that is due again; ``False`` when there was none."""
        async with self.engine.begin() as connection:
            row = (await connection.execute(_CLAIM, {"lease": _LEASE_SECONDS})).mappings().one_or_none()
        if row is None:
            return False
        await self._send(RefundRequest(**row))
        return True

    async def _send(self, asked: RefundRequest) -> RefundRequest:
        """Call Stripe outside any transaction; a crash here leaves the row to be sent again."""
        try:
            refund, answer = await self._make(asked)
        except StripeRefused as refused:
            log.warning("refund_refused", refund_request_id=str(asked.id), code=refused.code)
            return await self._decide(asked, "refused", error=str(refused))
        except StripeAway as away:
            log.warning("refund_waits", refund_request_id=str(asked.id), attempts=asked.attempts, error=str(away))
            pause = _BACKOFF_SECONDS[min(asked.attempts, len(_BACKOFF_SECONDS)) - 1]
            return await self._settle(asked, _LATER, {"error": str(away), "pause": pause})
        return await self._accept(asked, refund, answer)

    async def _make(self, asked: RefundRequest) -> tuple[Mapping[str, Any], Answer]:
        async with self.engine.connect() as connection:
            payment = (await connection.execute(_ROOT, {"id": asked.payment_id})).one()
        root = (
            {"payment_intent": payment.stripe_payment_intent_id}
            if payment.stripe_payment_intent_id
            else {"charge": payment.stripe_charge_id}
        )
        if asked.attempts > 1 and (made := await self._made_before(asked, root)):
            return made
        answer = await self.api.create_refund(_params(asked, root), idempotency_key=f"{_OURS}:{asked.id}")
        return answer.data, answer

    async def _made_before(
        self, asked: RefundRequest, root: Mapping[str, str]
    ) -> tuple[Mapping[str, Any], Answer] | None:
        """Look for the refund among the payment's; not being let look says nothing of it. Raises ``StripeAway``."""
        cursor: dict[str, str] = {}
        while True:
            try:
                answer = await self.api.get("/v1/refunds", limit=100, **root, **cursor)
            except StripeRefused as refused:
                raise StripeAway(f"the refunds cannot be listed: {refused}") from refused
            refunds = answer.data.get("data") or []
            for refund in refunds:
                if (refund.get("metadata") or {}).get(_OURS) == str(asked.id):
                    return refund, answer
            if not refunds or answer.data.get("has_more") is not True:
                return None
            cursor = {"starting_after": refunds[-1]["id"]}

    async def _accept(self, asked: RefundRequest, refund: Mapping[str, Any], answer: Answer) -> RefundRequest:
        """Take the refund in and settle the request in one transaction, so it is never counted twice or not at all."""
        values = {"state": "accepted", "stripe_refund_id": refund["id"], "error": None}
        try:
            async with self.engine.begin() as connection:
                await apply_fetched(connection, refund, requested_at=answer.requested_at, source=self.source)
                await connection.execute(_DECIDE, {"id": asked.id, **values})
                return await _found(connection, asked.id)
        except UnreadableEvent as error:  # the money is on its way all the same
            log.warning("refund_unreadable", refund_request_id=str(asked.id), error=str(error))
            return await self._settle(asked, _DECIDE, values)

    async def _decide(self, asked: RefundRequest, state: str, *, error: str) -> RefundRequest:
        return await self._settle(asked, _DECIDE, {"state": state, "stripe_refund_id": None, "error": error})

    async def _settle(self, asked: RefundRequest, statement: Any, values: Mapping[str, object]) -> RefundRequest:  # noqa: ANN401
        async with self.engine.begin() as connection:
            await connection.execute(statement, {"id": asked.id, **values})
            return await _found(connection, asked.id)


async def _record(
    connection: AsyncConnection, payment_id: UUID, *, key: str, amount: Decimal, reason: str | None, by: str
) -> tuple[RefundRequest, bool]:
    payment = (await connection.execute(_LOCK_PAYMENT, {"id": payment_id})).one_or_none()
    if payment is None:
        raise NoSuchPayment(payment_id)
    minor = minor_units(amount, payment.currency)
    id_ = uuid5(_NAMESPACE, f"{payment_id}:{key}")
    row = (await connection.execute(_FIND, {"id": id_})).mappings().one_or_none()
    if row is not None:
        if (row["amount"], row["reason"], row["requested_by"]) != (minor, reason, by):
            raise KeyReused
        return RefundRequest(**row), False
    if not (payment.stripe_payment_intent_id or payment.stripe_charge_id):
        raise NotRefundable("This payment did not come through Stripe: cancel it instead.")
    remaining = max(0, payment.received - payment.refunded - payment.pending)
    if minor > remaining:
        raise RefundExceedsPayment(
            str(to_decimal(minor, payment.currency)), str(to_decimal(remaining, payment.currency)), payment.currency
        )
    values = {"id": id_, "payment_id": payment_id, "amount": minor, "currency": payment.currency, "reason": reason}
    inserted = await connection.execute(_INSERT, {**values, "by": by, "lease": _LEASE_SECONDS})
    return RefundRequest(**inserted.mappings().one()), True


def minor_units(amount: Decimal, currency: str) -> int:
    """Return a positive amount in minor units; raises :class:`UnusableAmount`."""
    try:
        minor = to_minor(amount, currency)
    except ValueError as error:
        raise UnusableAmount(f"{error}.") from None
    if not 0 < minor <= _LARGEST:
        raise UnusableAmount(f"{amount} {currency} is no amount to move.")
    return minor


def _params(asked: RefundRequest, root: Mapping[str, str]) -> dict[str, object]:
    """The same for the same request: Stripe refuses a key that comes with other parameters."""
    params: dict[str, object] = {**root, "amount": asked.amount, "metadata": {_OURS: str(asked.id)}}
    return {**params, "reason": asked.reason} if asked.reason in _REASONS else params


async def _found(connection: AsyncConnection, id_: UUID) -> RefundRequest:
    return RefundRequest(**(await connection.execute(_FIND, {"id": id_})).mappings().one())
