"""Whose a payment is: the user of its booking, whichever of payment, booking and link comes last."""

import asyncio
from itertools import permutations
from typing import Any

import pytest

from shared.events import Event
from support import stripe_payloads as stripe
from support.events import booking, linked
from support.payments import Payments

PAID = stripe.event("payment_intent.succeeded", stripe.payment_intent(metadata={"bookingId": "b1"}))
LINKS = [linked("b1", f"u{sequence}", sequence) for sequence in (1, 2, 3)]


@pytest.mark.parametrize("order", [*permutations(["payment", "booking", "link"])], ids=" ".join)
async def test_payment_learns_its_user_whatever_comes_last(payments: Payments, order: tuple[str, ...]) -> None:
    for step in order:
        if step == "payment":
            await payments.take(PAID)
        else:
            await payments.learn(booking("b1") if step == "booking" else linked("b1", "u1"))
    data = (await payments.published())[-1]["data"]
    assert (data["booking_id"], data["user_id"]) == ("b1", "u1")


@pytest.mark.parametrize("order", [*permutations(LINKS)])
async def test_link_of_the_highest_sequence_stands(payments: Payments, order: tuple[Event, ...]) -> None:
    await payments.take(PAID)
    await payments.learn(booking("b1"))
    for link in order:
        await payments.learn(link)
    await payments.learn(*order)
    assert (await payments.payment())["user_id"] == "u3"


async def test_link_of_a_booking_nobody_paid_publishes_nothing(payments: Payments) -> None:
    await payments.take(PAID)
    await payments.learn(booking("b1"), linked("b1", "u1"), booking("b2"), linked("b2", "u2"))
    assert len(await payments.published()) == 2


async def test_links_and_payments_that_meet_at_once_all_find_each_other(payments: Payments) -> None:
    numbers = range(40)
    metadata: list[dict[str, Any]] = [{"bookingId": f"b{number}"} for number in numbers]
    await payments.store(
        [
            stripe.event("payment_intent.succeeded", stripe.payment_intent(f"pi_{number}", metadata=each))
            for number, each in enumerate(metadata)
        ]
    )

    async def learn(make: Any) -> None:
        for number in numbers:
            await payments.learn(make(number))

    async def process_in_pieces() -> None:
        while await payments.processor.process_due(limit=3):
            pass

    await asyncio.gather(
        learn(lambda number: booking(f"b{number}")),
        learn(lambda number: linked(f"b{number}", f"u{number}")),
        process_in_pieces(),
        process_in_pieces(),
    )
    rows = await payments.rows("SELECT booking_id, user_id FROM payment")
    expected = {(f"b{number}", f"u{number}") for number in numbers}
    assert {(row["booking_id"], row["user_id"]) for row in rows} == expected
