"""A checkout begun and left before the import is no payment; paid after it, it is one like any other."""

from dataclasses import replace
from decimal import Decimal

from support import stripe_payloads as stripe
from support.databases import Databases
from support.history import moving
from support.legacy_history import facts
from support.payments import payments_on

ROW = 'SELECT status, "paymentReference" AS reference FROM bookings'
PAYMENT = "SELECT status, received, migrated FROM booking_payment"


async def test_an_abandoned_checkout_paid_after_the_import_ends_paid_with_stripes_amount(databases: Databases) -> None:
    (ordinary, *_) = [fact for fact in facts(60, seed=91) if fact.status == "PENDING" and fact.mailbox]
    left = replace(ordinary, intent="pi_1", amount=Decimal("67.50"), paid_on=None, method="CARD")
    paid = stripe.payment_intent("pi_1", amount=7000, amount_received=7000)
    async with moving(databases, "default", [left]) as moved:
        await moved.import_all()
        await moved.settle()
        assert await moved.rows("bookings-gateway", PAYMENT) == []

        async with payments_on(moved.engines["payments"]) as payments:
            await payments.take(stripe.event("payment_intent.succeeded", paid))
        await moved.settle()

        assert await moved.rows("bookings-gateway", PAYMENT) == [
            {"status": "succeeded", "received": 7000, "migrated": False}
        ]
        assert await moved.rows("bookings-gateway", ROW) == [{"status": "PAID", "reference": "pi_1"}]
