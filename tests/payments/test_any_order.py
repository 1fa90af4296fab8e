"""Any order and any number of deliveries of a payment's life end in the same state."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from payments.models import Payment
from payments.service.announce import snapshot
from payments.service.ledger import Ledger
from shared.event_log import NewEvent
from support.events import booking, linked
from support.ledgers import ledger_after, payments_after
from support.lifecycles import LIVES, Life
from support.payments import Payments
from support.stripe_payloads import Json

lives = pytest.mark.parametrize("life", LIVES.values(), ids=LIVES.keys())


def arrivals(events: Sequence[Json]) -> st.SearchStrategy[list[Json]]:
    """Every event at least once, some again, in any order."""
    again = st.lists(st.sampled_from(list(events)), max_size=6)
    return again.flatmap(lambda more: st.permutations([*events, *more]))


def final(payment: Payment) -> Payment:
    """Return a payment without what counts the news on the way."""
    return replace(payment, sequence=0, changed_at=None)


def final_objects(ledger: Ledger) -> dict[str, Any]:
    """Return what is kept of all objects: the set of events decides it, to the last bit."""
    return {id_: (row.payment_id, row.waits_for, row.kept) for id_, row in ledger.objects.items()}


@lives
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_order_in_the_domain_ends_in_one_state(life: Life, data: st.DataObject) -> None:
    in_order = ledger_after(life.events)
    ledger = ledger_after(data.draw(arrivals(life.events)))

    assert final_objects(ledger) == final_objects(in_order)
    (payment,) = [each for each in ledger.payments.values() if each.state]
    (expected,) = payments_after(life.events)
    assert final(payment) == final(expected)
    assert_told_once(payment, ledger.news)


@lives
def test_life_comes_to_what_it_should(life: Life) -> None:
    (payment,) = payments_after(life.events)
    told = snapshot(payment)
    assert told is not None
    assert {name: told[name] for name in life.expected} == life.expected
    assert (payment.booking_id, payment.user_id) == ("b1", "u1")


def assert_told_once(payment: Payment, news: Sequence[NewEvent]) -> None:
    """Every snapshot is another than the one before, numbered without a gap, and the last is the payment as it is."""
    assert [event.sequence for event in news] == list(range(1, payment.sequence + 1))
    told = [event.data.model_dump() for event in news]
    assert all(one != next_ for one, next_ in pairwise(told))
    assert told[-1].items() >= (snapshot(payment) or {}).items()


async def state_after(payments: Payments, order: Sequence[Json], *, group: int, workers: int) -> Any:
    """Deliver ``group`` at a time to workers side by side; booking and link come after the first group."""
    await _forget(payments)
    for start in range(0, len(order), group):
        await payments.store(order[start : start + group])
        await asyncio.gather(*(_process(payments, limit=2) for _ in range(workers)))
        await payments.learn(linked("b1", "u1"), booking("b1"))
    await payments.process()
    await _assert_published_once(payments)
    return await payments.state()


async def _process(payments: Payments, *, limit: int) -> None:
    while await payments.processor.process_due(limit=limit):
        pass


async def _assert_published_once(payments: Payments) -> None:
    published = await payments.published()
    (payment,) = await payments.rows("SELECT sequence FROM payment")
    assert [each["sequence"] for each in published] == list(range(1, payment["sequence"] + 1))
    told = [each["data"] for each in published]
    assert all(one != next_ for one, next_ in pairwise(told))


async def _forget(payments: Payments) -> None:
    tables = (
        "stripe_event, stripe_delivery, stripe_object, payment, booking_key, booking_link, fetch_request, event_log, "
        "outbox, inbox"
    )
    async with payments.engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {tables} CASCADE"))


@lives
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_order_with_two_workers_ends_in_one_state(
    payments: Payments, life: Life, data: st.DataObject
) -> None:
    expected = await state_after(payments, life.events, group=len(life.events), workers=1)
    ((payment,), *_) = expected
    assert {name: payment[name] for name in life.expected} == life.expected
    assert (payment["booking_id"], payment["user_id"]) == ("b1", "u1")

    order = data.draw(arrivals(life.events))
    assert await state_after(payments, order, group=data.draw(st.integers(1, 12)), workers=2) == expected
    assert await payments.rows("SELECT id FROM stripe_event WHERE state <> 'processed'") == []
