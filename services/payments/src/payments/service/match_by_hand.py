"""A person says which booking a payment belongs to, or that it belongs to none. That stands until said otherwise."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments import models
from payments.errors import NoSuchBooking, NoSuchPayment
from payments.models import Payment
from payments.service.announce import Bookings, Cause, change
from payments.service.record_history import weigh_again
from shared import event_log

_MARK = text("UPDATE payment SET matched_by_hand = true WHERE id = :id")
_AUDIT = text(
    """
    INSERT INTO payment_match (payment_id, booking_id, former, decided_by) VALUES (:id, :booking_id, :former, :by)
    """
)


async def match_by_hand(engine: AsyncEngine, source: str, payment_id: UUID, *, booking: str, by: str) -> str:
    """Give a payment to a booking, named by its id or reference, and commit; return the booking's id.

    Raises :class:`NoSuchPayment` or :class:`NoSuchBooking`.
    """
    async with engine.begin() as connection:
        await models.own_matching(connection)
        payment = await _locked(connection, payment_id)
        known = await Bookings.load(connection, [booking])
        if booking not in known.by_key:
            raise NoSuchBooking(booking)
        await _decide(connection, source, payment, known, booking_id=known.by_key[booking], by=by)
    return known.by_key[booking]


async def unmatch_by_hand(engine: AsyncEngine, source: str, payment_id: UUID, *, by: str) -> None:
    """Take a payment away from its booking and commit; no booking finds it by itself any more.

    Raises :class:`NoSuchPayment`.
    """
    async with engine.begin() as connection:
        await models.own_matching(connection)
        await _decide(connection, source, await _locked(connection, payment_id), Bookings(), booking_id=None, by=by)


async def _locked(connection: AsyncConnection, payment_id: UUID) -> Payment:
    payment = await models.lock_payment(connection, payment_id)
    if payment.state is None:
        raise NoSuchPayment(payment_id)
    return payment


async def _decide(
    connection: AsyncConnection, source: str, payment: Payment, known: Bookings, *, booking_id: str | None, by: str
) -> None:
    """Saying again what holds already changes nothing and leaves no second audit row."""
    if payment.state is None or (payment.matched_by_hand and payment.booking_id == booking_id):
        return
    cause = Cause(payment.changed_at or payment.state.created_at)  # being matched is no event of its own
    user_id = known.user_of(booking_id)
    changed, news = change(payment, payment.state, booking_id=booking_id, user_id=user_id, cause=cause)
    await models.save_payments(connection, [changed])
    await connection.execute(_MARK, {"id": payment.id})
    news += await weigh_again(connection, [payment.booking_id, booking_id])
    await connection.execute(
        _AUDIT, {"id": payment.id, "booking_id": booking_id, "former": payment.booking_id, "by": by}
    )
    await event_log.append(connection, source, news)
