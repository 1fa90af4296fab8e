"""Payments that came by cash, bank transfer or invoice: recorded by a person, taken back by a person."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments import models
from payments.domain.payment import PaymentState, PaymentStatus
from payments.errors import KeyReused, NoSuchPayment, NotManual
from payments.models import Payment
from payments.service.announce import Bookings, Cause, matched
from payments.service.record_history import weigh_again
from payments.service.request_refund import minor_units
from shared import event_log

_NAMESPACE = UUID("c0a5e9b1-51d5-5c38-8b61-6f6f1e7f0d42")

_INSERT = text(
    """
    INSERT INTO manual_payment (id, method, amount, currency, paid_at, booking, reference, recorded_by)
    VALUES (:id, :method, :amount, :currency, :paid_at, :booking, :reference, :recorded_by)
    ON CONFLICT (id) DO NOTHING
    """
)
_FIND = text(
    """
    SELECT method, amount, currency, paid_at, booking, reference, recorded_by FROM manual_payment WHERE id = :id
    """
)
_CANCEL = text(
    """
    UPDATE manual_payment SET canceled_by = :by, canceled_at = now(), cancel_reason = :reason
    WHERE id = :id AND canceled_at IS NULL
    """
)
# A payment only a historical booking proves. Before any other lock, as an import takes them.
_CANCEL_HISTORY = text(
    """
    UPDATE booking_evidence SET canceled_by = :by, canceled_at = now(), cancel_reason = :reason
    WHERE payment_id = :id AND canceled_at IS NULL AND said ->> 'payment_intent' IS NULL
    """
)


class Method(StrEnum):
    """How money came that did not come through Stripe."""

    CASH = "cash"
    BANK_TRANSFER = "bank_transfer"
    INVOICE = "invoice"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualPayment:
    """What a person says was paid. ``booking`` is its id or reference; ``amount`` is in whole units of the currency."""

    method: Method
    amount: Decimal
    currency: str
    paid_at: datetime
    booking: str
    reference: str | None
    recorded_by: str


@dataclass(frozen=True, slots=True)
class CashDesk:
    """Records and cancels manual payments; commits."""

    engine: AsyncEngine
    source: str

    async def record(self, paid: ManualPayment, *, key: str) -> tuple[UUID, bool]:
        """Return the payment's id, and whether it is new: the same ``key`` again is the same payment.

        Raises :class:`payments.errors.UnusableAmount` and :class:`payments.errors.KeyReused`.
        """
        id_ = uuid5(_NAMESPACE, key)
        columns = _columns(paid)
        async with self.engine.begin() as connection:
            await models.share_matching(connection)
            payment = await models.lock_payment(connection, id_)
            if not (await connection.execute(_INSERT, {"id": id_, **columns})).rowcount:
                if dict((await connection.execute(_FIND, {"id": id_})).mappings().one()) != columns:
                    raise KeyReused
                return id_, False
            await self._announce(connection, payment, _state(paid), Cause(paid.paid_at))
        return id_, True

    async def cancel(self, id_: UUID, *, by: str, reason: str | None) -> bool:
        """Take a payment back that did not come through Stripe; ``False`` when it was before.

        Raises ``NoSuchPayment`` or ``NotManual``.
        """
        who = {"id": id_, "by": by, "reason": reason}
        async with self.engine.begin() as connection:
            canceled = (await connection.execute(_CANCEL_HISTORY, who)).rowcount
            await models.share_matching(connection)
            payment = await models.lock_payment(connection, id_)
            if payment.state is None:
                raise NoSuchPayment(id_)
            if payment.state.payment_intent or payment.state.charge or payment.state.checkout_session:
                raise NotManual("This payment is Stripe's: refund it instead.")
            canceled += (await connection.execute(_CANCEL, who)).rowcount
            if not canceled:
                return False
            state = replace(payment.state, status=PaymentStatus.CANCELED, received=0, refunded=0)
            await self._announce(connection, payment, state, Cause(datetime.now(UTC)))
        return True

    async def _announce(self, connection: AsyncConnection, payment: Payment, state: PaymentState, cause: Cause) -> None:
        bookings = await Bookings.load(connection, state.booking_keys, also=[payment.booking_id])
        changed, news = matched(payment, state, bookings=bookings, cause=cause)
        await models.save_payments(connection, [changed])
        if not changed.migrated:
            news += await weigh_again(connection, [changed.booking_id])
        await event_log.append(connection, self.source, news)


def _columns(paid: ManualPayment) -> dict[str, object]:
    return {
        "method": paid.method,
        "amount": minor_units(paid.amount, paid.currency),
        "currency": paid.currency,
        "paid_at": paid.paid_at,
        "booking": paid.booking,
        "reference": paid.reference,
        "recorded_by": paid.recorded_by,
    }


def _state(paid: ManualPayment) -> PaymentState:
    minor = minor_units(paid.amount, paid.currency)
    return PaymentState(
        status=PaymentStatus.SUCCEEDED,
        currency=paid.currency,
        amount=minor,
        received=minor,
        refunded=0,
        method=paid.method.value,
        payment_intent=None,
        charge=None,
        paid_at=paid.paid_at,
        created_at=paid.paid_at,
        booking_keys=(paid.booking,),
    )
