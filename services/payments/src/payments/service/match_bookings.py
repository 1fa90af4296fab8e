"""Match: what bookings are called and whose they are is remembered; payments find it, whichever came first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from payments import models
from payments.service.announce import Bookings, Cause, matched
from payments.service.record_history import weigh_again
from shared.contracts import BookingSnapshot
from shared.event_log import NewEvent
from shared.turns import in_turns


@dataclass(frozen=True, slots=True)
class Learned:
    """What was not known before: names of bookings, and bookings whose link is news."""

    keys: Sequence[str]
    linked: Sequence[str]


async def remember_names(
    connection: AsyncConnection, bookings: Sequence[BookingSnapshot], links: Mapping[str, tuple[int, str]]
) -> Learned:
    """Remember what these versions of bookings are called and whose they are; the caller commits.

    ``links`` is sequence and user by booking. Any version of a booking adds its names, old or new, and the newest link
    stands, so the outcome does not depend on their order.
    """
    names = [(key, booking.booking_id) for booking in bookings for key in _keys(booking)]
    keys = await models.add_booking_keys(connection, names) if names else []
    return Learned(keys, await models.add_links(connection, links) if links else [])


async def match_bookings(connection: AsyncConnection, learned: Learned, *, known: Iterable[UUID]) -> list[NewEvent]:
    """Tell payments what was learned, but for those ``known`` to have been computed with it; the caller commits.

    Returns the snapshots to publish, with the time of the payment's last news: being matched is no event of its own.
    """
    if not learned.keys and not learned.linked:
        return []
    await models.own_matching(connection)
    payments = await models.lock_payments_concerned(connection, keys=learned.keys, bookings=learned.linked, known=known)
    if not payments:
        return []
    keys = [key for payment in payments if payment.state for key in payment.state.booking_keys]
    bookings = await Bookings.load(connection, keys, also=[payment.booking_id for payment in payments])
    changed = []
    moved: set[str | None] = set()
    news: list[NewEvent] = []
    async for payment in in_turns(payments):
        if payment.state is None:
            continue
        cause = Cause(payment.changed_at or payment.state.created_at)
        now, event = matched(payment, payment.state, bookings=bookings, cause=cause, waits=True)
        changed += [now] if now != payment else []
        moved |= {payment.booking_id, now.booking_id} if now.booking_id != payment.booking_id else set()
        news += event
    await models.save_payments(connection, changed)
    return news + await weigh_again(connection, moved)


def _keys(booking: BookingSnapshot) -> list[str]:
    """A booking's names: id, reference and the PaymentIntent it stored."""
    stored = (booking.payment_reference or "").strip()
    names = [booking.booking_id, (booking.booking_reference or "").strip()]
    return [name for name in (*names, stored if stored.startswith("pi_") else "") if name]
