"""Any order and any number of deliveries of one payment's life end in the same state."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from payments.domain.objects import read_object
from payments.domain.payment import state_of
from payments.domain.versions import Kept, Version
from support import stripe_payloads as stripe
from support.events import booking
from support.payments import Payments

METADATA = {"bookingId": "b1"}


def lifecycle(*, spread: int) -> list[stripe.Json]:
    """Return a payment begun, under way, paid, given back twice, one of the refunds failing days later.

    ``spread`` is the seconds between steps; 0 puts everything into one second.
    """
    at = [stripe.START + spread * step for step in range(10)]
    intent: dict[str, Any] = {"metadata": METADATA}
    second: dict[str, Any] = {"amount": 1000, "created": at[6]}
    first: dict[str, Any] = {"created": at[4]}
    return [
        stripe.event(
            "payment_intent.created", stripe.payment_intent(status="requires_payment_method", **intent), created=at[0]
        ),
        stripe.event("payment_intent.processing", stripe.payment_intent(status="processing", **intent), created=at[1]),
        stripe.event("charge.pending", stripe.charge(status="pending", captured=False), created=at[1]),
        stripe.event("payment_intent.succeeded", stripe.payment_intent(**intent), created=at[2]),
        stripe.event("charge.succeeded", stripe.charge(), created=at[2]),
        stripe.event("refund.created", stripe.refund(status="pending", **first), created=at[4]),
        stripe.event("charge.refunded", stripe.charge(amount_refunded=2000), created=at[4]),
        stripe.event("refund.updated", stripe.refund(**first), created=at[5]),
        stripe.event("refund.created", stripe.refund("re_2", charge=None, **second), created=at[6]),
        stripe.event("charge.refunded", stripe.charge(amount_refunded=3000), created=at[6]),
        stripe.event("refund.failed", stripe.refund("re_2", "failed", charge=None, **second), created=at[8]),
        stripe.event("charge.refund.updated", stripe.refund("re_2", "failed", charge=None, **second), created=at[9]),
    ]


def arrivals(events: Sequence[stripe.Json]) -> st.SearchStrategy[list[stripe.Json]]:
    """Every event at least once, some again, in any order."""
    again = st.lists(st.sampled_from(list(events)), max_size=6)
    return again.flatmap(lambda more: st.permutations([*events, *more]))


ORDERS = {"one second": lifecycle(spread=0), "a minute apart": lifecycle(spread=60)}


async def state_after(payments: Payments, order: Sequence[stripe.Json], *, group: int) -> tuple[list[Any], list[Any]]:
    """Deliver and process ``group`` at a time; the booking appears after the first group."""
    await _forget(payments)
    for start in range(0, len(order), group):
        await payments.take(*order[start : start + group])
        await payments.learn(booking("b1"))
    return await payments.state()


async def _forget(payments: Payments) -> None:
    tables = "stripe_event, stripe_delivery, stripe_object, payment, booking_key, event_log, outbox, inbox"
    async with payments.engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {tables}"))


@pytest.mark.parametrize("events", ORDERS.values(), ids=ORDERS.keys())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_order_on_the_database_ends_in_one_state(
    payments: Payments, events: list[stripe.Json], data: st.DataObject
) -> None:
    expected = await state_after(payments, events, group=len(events))
    (payment,), refunds = expected
    assert (payment["status"], payment["received"], payment["refunded"]) == ("succeeded", 6750, 2000)
    assert payment["booking_id"] == "b1"
    assert [refund["status"] for refund in refunds] == ["succeeded", "failed"]

    order = data.draw(arrivals(events))
    assert await state_after(payments, order, group=data.draw(st.integers(1, 6))) == expected


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(list(ORDERS.values())).flatmap(arrivals))
def test_any_order_in_the_domain_ends_in_one_state(order: list[stripe.Json]) -> None:
    kept: dict[str, Kept] = {}
    for event in order:
        version = Version(read_object(event["data"]["object"], seen=event["created"]), event["created"], event["id"])
        known = kept.get(version.object.id)
        kept[version.object.id] = known.with_version(version) if known else Kept.first(version)
    state = state_of(kept.values(), payment_intent="pi_1")
    assert state is not None
    assert (state.status, state.received, state.refunded) == ("succeeded", 6750, 2000)
    assert state.charge == "ch_1"
