"""Objects read from Stripe's API: when they are asked for, and what their answers change."""

from datetime import UTC, datetime, timedelta
from typing import Any

from payments.service.apply_fetched import apply_fetched
from support import stripe_payloads as stripe
from support.payments import Payments
from support.stripe_payloads import START, Json

PAID = stripe.event("payment_intent.succeeded", stripe.payment_intent())
REFUNDED = stripe.event("charge.refunded", stripe.charge(amount_refunded=2000), created=START + 90)


async def fetched(payments: Payments, raw: Json, *, at: float = 600) -> bool:
    requested_at = datetime.fromtimestamp(START, UTC) + timedelta(seconds=at)
    async with payments.engine.begin() as connection:
        return await apply_fetched(connection, raw, requested_at=requested_at)


async def due(payments: Payments) -> list[tuple[str, str, str]]:
    rows = await payments.rows("SELECT object_id, kind, reason FROM fetch_request WHERE done_at IS NULL ORDER BY 1, 2")
    return [(row["object_id"], row["kind"], row["reason"]) for row in rows]


async def test_charge_that_shows_more_than_its_refunds_has_them_read(payments: Payments) -> None:
    await payments.take(PAID, REFUNDED)
    assert await due(payments) == [("ch_1", "refunds", "unexplained_refund")]

    assert await fetched(payments, stripe.refund())
    assert (await payments.payment())["refunded"] == 2000
    assert len(await payments.published()) == 2, "what was provisional is known now, and that is no news"


async def test_charge_whose_refunds_are_known_asks_nothing(payments: Payments) -> None:
    await payments.take(PAID, stripe.event("refund.created", stripe.refund(), created=START + 60), REFUNDED)
    assert await due(payments) == []


async def test_answer_replaces_what_was_provisional(payments: Payments) -> None:
    await payments.take(PAID, REFUNDED)
    assert await fetched(payments, stripe.refund(status="failed"))
    assert (await payments.payment())["refunded"] == 0


async def test_tie_is_settled_by_the_answer(payments: Payments) -> None:
    versions = [stripe.charge(metadata={"bookingId": name}) for name in ("b1", "b2")]
    await payments.take(*(stripe.event("charge.updated", each) for each in versions))
    assert await due(payments) == [("ch_1", "charge", "tie")]

    await fetched(payments, stripe.charge(metadata={"bookingId": "b3"}))
    assert (await payments.payment())["booking_keys"] == ["b3", "pi_1"]


async def test_tie_is_decided_by_evidence_of_events_stored_long_ago(payments: Payments) -> None:
    """C follows A by way of B, each in a transaction of its own: what A and C said is read again."""
    at: dict[str, Any] = {"created": START + 9}
    first = stripe.event("charge.updated", stripe.charge(amount_refunded=3000), **at)
    last = stripe.event("charge.updated", stripe.charge(amount_refunded=1000), previous={"amount_refunded": 2500}, **at)
    between = stripe.charge(amount_refunded=2500)
    for each in (first, last, stripe.event("charge.updated", between, previous={"amount_refunded": 3000}, **at)):
        await payments.take(each)
    assert (await payments.payment())["refunded"] == 1000


async def test_embedded_objects_settle_ties_too(payments: Payments) -> None:
    risen, fallen = stripe.charge(amount_refunded=2000), stripe.charge(amount_refunded=1000)
    intent = stripe.payment_intent(latest_charge=risen)
    await payments.take(stripe.event("payment_intent.succeeded", intent))
    await payments.take(stripe.event("charge.updated", fallen, previous={"amount_refunded": 2000}))
    assert (await payments.payment())["refunded"] == 1000


async def test_payment_never_announced_by_events_is_complete(payments: Payments) -> None:
    charge = stripe.charge(balance_transaction=stripe.balance_transaction(6750, fee=121))
    assert await fetched(payments, stripe.payment_intent(latest_charge=charge))

    (published,) = await payments.published()
    data = published["data"]
    assert (published["type"], data["received"], data["fee"]) == ("payment.succeeded", 6750, 121)
    assert datetime.fromisoformat(data["paid_at"]).timestamp() == START + 5, "when the charge was made, not when read"


async def test_what_is_known_already_writes_nothing(payments: Payments) -> None:
    await payments.take(PAID, stripe.event("charge.succeeded", stripe.charge()))
    before = await payments.rows("SELECT * FROM stripe_object ORDER BY id")

    assert not await fetched(payments, stripe.charge())
    assert not await fetched(payments, stripe.payment_intent(latest_charge=stripe.charge()))
    assert await payments.rows("SELECT * FROM stripe_object ORDER BY id") == before
    assert len(await payments.rows("SELECT id FROM stripe_delivery")) == 2


async def test_answer_is_kept_like_a_delivery_and_taken_in_once(payments: Payments) -> None:
    assert await fetched(payments, stripe.payment_intent())
    assert not await fetched(payments, stripe.payment_intent(), at=700)
    (kept,) = await payments.rows("SELECT e.type, e.state, d.source FROM stripe_event e JOIN stripe_delivery d ON true")
    assert kept == {"type": "fetched", "state": "processed", "source": "reconcile"}


async def test_event_of_a_later_second_stands_above_an_answer(payments: Payments) -> None:
    await payments.take(PAID)
    await fetched(payments, stripe.refund(status="succeeded"), at=600)
    failed = stripe.event("refund.failed", stripe.refund(status="failed"), created=START + 601)
    earlier = stripe.event("refund.updated", stripe.refund(status="pending"), created=START + 599)
    await payments.take(failed, earlier)
    assert (await payments.payment())["refunded"] == 0


async def test_two_ends_of_one_intent_are_asked_for(payments: Payments) -> None:
    await payments.take(PAID, stripe.event("payment_intent.canceled", stripe.payment_intent(status="canceled")))
    assert await due(payments) == [("pi_1", "payment_intent", "two_ends")]
