"""How each hop is seen from outside: in the services' databases and at their HTTP doors."""

from dataclasses import dataclass

from local_stack.demo_clients import Clients
from local_stack.demo_deals import Deal, Money
from local_stack.services import GATEWAY, PAYMENTS, USERS

_LINKED = "SELECT FROM booking_link WHERE booking_id = $1 AND user_id IS NOT NULL"
_USER_ID = "SELECT user_id::text FROM bookings WHERE id = CAST($1 AS uuid)"
_USERS_OWN = """
    SELECT count(*) AS bookings, coalesce(sum("finalAmount"), 0) AS spent FROM bookings
    WHERE user_id = CAST($1 AS uuid)
"""
_STORED = "SELECT FROM stripe_event WHERE object_id = $1"
_PAYMENT_ID = "SELECT id::text FROM payment WHERE stripe_payment_intent_id = $1"
# The gateway's tables stand in a schema of their own, beside the legacy table.
_BOOKING_EVENT = "SELECT FROM gateway.event_log l WHERE type = 'booking.created' AND subject = $1"
_PAYMENT_EVENT = "SELECT FROM event_log l WHERE type = $1 AND subject = $2"
_UNSENT_BOOKING = f"{_BOOKING_EVENT} AND EXISTS (SELECT FROM gateway.outbox o WHERE o.seq = l.seq)"
_UNSENT_PAYMENT = f"{_PAYMENT_EVENT} AND EXISTS (SELECT FROM outbox o WHERE o.seq = l.seq)"


@dataclass(frozen=True)
class Sights:
    """Questions about one deal; each answers whether it has come so far."""

    clients: Clients
    deal: Deal

    async def booking_captured(self) -> bool:
        return await self.clients.holds(GATEWAY, _BOOKING_EVENT, self.deal.booking_id)

    async def booking_sent(self) -> bool:
        return not await self.clients.holds(GATEWAY, _UNSENT_BOOKING, self.deal.booking_id)

    async def linked_by_users(self) -> bool:
        return await self.clients.holds(USERS, _LINKED, self.deal.booking_id)

    async def linked_in_table(self) -> bool:
        found = await self.clients.databases[GATEWAY].fetchval(_USER_ID, self.deal.booking_id)
        self.deal.user_id = found or ""
        return bool(found)

    async def totals_shown(self) -> bool:
        """The listing shows what the customer's own SQL computes."""
        shown = (await self.clients.booking(self.deal.booking_id))["user"]
        ((bookings, spent),) = await self.clients.databases[GATEWAY].fetch(_USERS_OWN, self.deal.user_id)
        return bool(shown == {"id": self.deal.user_id, "totalBookings": bookings, "totalSpent": f"{spent:.2f}"})

    async def payment_webhook_stored(self) -> bool:
        return await self.clients.holds(PAYMENTS, _STORED, self.deal.intent_id)

    async def payment_succeeded(self) -> bool:
        found = await self.clients.databases[PAYMENTS].fetchval(_PAYMENT_ID, self.deal.intent_id)
        self.deal.payment_id = found or ""
        return await self.clients.holds(PAYMENTS, _PAYMENT_EVENT, "payment.succeeded", self.deal.payment_id)

    async def payment_sent(self) -> bool:
        return not await self.clients.holds(PAYMENTS, _UNSENT_PAYMENT, "payment.succeeded", self.deal.payment_id)

    async def booking_paid(self) -> bool:
        row = await self.clients.booking(self.deal.booking_id)
        return bool(row["status"] == "PAID" and row["paymentStatus"] == "paid")

    async def paid_counted(self) -> bool:
        return (await self._money()).paid == self.deal.after.paid

    async def refund_webhook_stored(self) -> bool:
        return await self.clients.holds(PAYMENTS, _STORED, self.deal.refund_id)

    async def payment_refunded(self) -> bool:
        return await self.clients.holds(PAYMENTS, _PAYMENT_EVENT, "payment.refunded", self.deal.payment_id)

    async def refund_sent(self) -> bool:
        return not await self.clients.holds(PAYMENTS, _UNSENT_PAYMENT, "payment.refunded", self.deal.payment_id)

    async def booking_refunded(self) -> bool:
        row = await self.clients.booking(self.deal.booking_id)
        return bool(row["status"] == "PAID" and row["paymentStatus"] == "partially_refunded")

    async def refund_counted(self) -> bool:
        return (await self._money()).refunded == self.deal.after.refunded

    async def _money(self) -> Money:
        return Money.of(await self.clients.totals(self.deal.user_id))
