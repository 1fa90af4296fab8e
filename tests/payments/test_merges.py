"""Payments of a user are those of everybody who counts as them, whatever order merges come in."""

from collections.abc import Sequence
from itertools import permutations

import pytest

from payments.service.find_payments import Wanted, find_payments
from shared.events import Event
from support import stripe_payloads as stripe
from support.events import booking, linked, merged
from support.payments import Payments

USERS = ("u1", "u2", "u3")


async def pay(payments: Payments, user: str) -> None:
    """One booking of the user, paid."""
    intent = stripe.payment_intent(f"pi_{user}", metadata={"bookingId": f"b_{user}"})
    await payments.learn(booking(f"b_{user}"), linked(f"b_{user}", user))
    await payments.take(stripe.event("payment_intent.succeeded", intent))


async def owners(payments: Payments, user: str) -> set[str]:
    """Whose payments are found when those of ``user`` are asked for."""
    page = await find_payments(payments.engine, Wanted(user_id=user), limit=50)
    return {row["user_id"] for row in page.payments}


CHAIN = [merged("u3", "u2"), merged("u2", "u1", 1), merged("u2", None, 2), merged("u2", "u1", 3)]


@pytest.mark.parametrize("order", [*permutations(CHAIN)])
async def test_chain_is_followed_whatever_order_it_is_told_in(payments: Payments, order: Sequence[Event]) -> None:
    for user in USERS:
        await pay(payments, user)
    for event in (*order, order[0]):
        await payments.learn(event)
    assert await owners(payments, "u1") == {"u1", "u2", "u3"}
    assert await owners(payments, "u2") == {"u2", "u3"}
    assert await owners(payments, "u3") == {"u3"}


async def test_unmerge_restores_who_owned_what(payments: Payments) -> None:
    for user in USERS:
        await pay(payments, user)
    await payments.learn(merged("u3", "u2"), merged("u2", "u1"))
    await payments.learn(merged("u2", None, 2))
    assert await owners(payments, "u1") == {"u1"}
    assert await owners(payments, "u2") == {"u2", "u3"}


async def test_circle_of_merges_ends(payments: Payments) -> None:
    await pay(payments, "u1")
    await payments.learn(merged("u1", "u2"), merged("u2", "u1"))
    assert await owners(payments, "u2") == {"u1"}


async def test_merge_publishes_nothing(payments: Payments) -> None:
    await pay(payments, "u1")
    told = await payments.published()
    await payments.learn(merged("u1", "u2"))
    assert await payments.published() == told
