"""Amounts in every kind of currency are the same from Stripe's payload to the domain event."""

import pytest

from shared.contracts import PaymentSnapshot
from shared.events import decode
from shared.money import to_decimal
from support import stripe_payloads as stripe
from support.payments import Payments

AMOUNTS = [
    ("jpy", 5000, "5000"),
    ("kwd", 12_340, "12.340"),
    ("isk", 100_000, "1000.00"),
    ("ugx", 250_000, "2500.00"),
    ("idr", 3_000_000_000, "30000000.00"),
    ("idr", 3_000_000_000_00, "3000000000.00"),
    ("gbp", 1, "0.01"),
]


@pytest.mark.parametrize(("currency", "minor", "decimal"), AMOUNTS)
async def test_amount_is_exact_through_to_the_domain_event(
    payments: Payments, currency: str, minor: int, decimal: str
) -> None:
    paid = stripe.payment_intent(amount=minor, amount_received=minor, currency=currency)
    taken = stripe.dispute(
        amount=minor, currency=currency, balance_transactions=[stripe.balance_transaction(-minor, currency=currency)]
    )
    await payments.take(
        stripe.event("payment_intent.succeeded", paid),
        stripe.event("charge.dispute.funds_withdrawn", taken, created=stripe.START + 60),
    )

    bodies = await payments.rows("SELECT CAST(body AS text) AS body FROM event_log ORDER BY seq")
    (event,) = decode(bodies[-1]["body"].encode(), None)
    told = PaymentSnapshot.model_validate(getattr(event, "data", None))
    assert (told.currency, told.amount, told.received, told.disputed, told.net) == (currency.upper(), *[minor] * 3, 0)
    assert str(to_decimal(told.received, told.currency)) == decimal


async def test_fee_is_told_in_the_accounts_own_currency(payments: Payments) -> None:
    settled = stripe.balance_transaction(4_200, currency="gbp", fee=63)
    charge = stripe.charge(amount=5000, amount_captured=5000, currency="jpy", balance_transaction=settled)
    await payments.take(stripe.event("charge.updated", charge))
    (published,) = await payments.published()
    data = published["data"]
    assert (data["currency"], data["received"], data["fee"], data["fee_currency"]) == ("JPY", 5000, 63, "GBP")
