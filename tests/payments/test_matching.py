"""Which booking a payment belongs to, whichever of the two comes first."""

import asyncio
from typing import Any

import pytest

from support import stripe_payloads as stripe
from support.events import booking
from support.payments import Payments

WAYS: dict[str, dict[str, Any]] = {
    "its id": {"bookingId": "b1"},
    "its id, snake case": {"booking_id": "b1"},
    "its reference": {"bookingReference": "REF-b1"},
    "the intent it stored": {},
}
BOOKING = booking("b1", payment_reference="pi_1")


def paid(metadata: dict[str, Any]) -> stripe.Json:
    return stripe.event("payment_intent.succeeded", stripe.payment_intent(metadata=metadata))


@pytest.mark.parametrize("metadata", WAYS.values(), ids=WAYS.keys())
async def test_payment_finds_the_booking_that_was_there(payments: Payments, metadata: dict[str, Any]) -> None:
    await payments.learn(BOOKING)
    await payments.take(paid(metadata))

    (published,) = await payments.published()
    assert published["data"]["booking_id"] == "b1"


@pytest.mark.parametrize("metadata", WAYS.values(), ids=WAYS.keys())
async def test_late_booking_finds_its_payment_and_tells_its_snapshot_again(
    payments: Payments, metadata: dict[str, Any]
) -> None:
    await payments.take(paid(metadata))
    await payments.learn(BOOKING)

    unmatched, matched = await payments.published()
    assert (unmatched["type"], unmatched["data"]["booking_id"]) == ("payment.succeeded", None)
    assert (matched["type"], matched["data"]["booking_id"]) == ("payment.succeeded", "b1")
    assert (matched["sequence"], matched["time"]) == (2, unmatched["time"])


async def test_late_booking_of_a_refunded_payment_hears_of_the_refund(payments: Payments) -> None:
    await payments.take(paid({"bookingId": "b1"}), stripe.event("refund.created", stripe.refund()))
    await payments.learn(BOOKING)

    last = (await payments.published())[-1]
    assert (last["type"], last["data"]["booking_id"], last["data"]["refunded"]) == ("payment.refunded", "b1", 2000)


async def test_payment_of_an_overwritten_reference_still_matches(payments: Payments) -> None:
    await payments.learn(booking("b1", 2, payment_reference="cash"), BOOKING)
    await payments.take(paid({}))
    assert (await payments.payment())["booking_id"] == "b1"


async def test_metadata_stands_above_the_stored_intent(payments: Payments) -> None:
    await payments.learn(BOOKING)
    await payments.take(paid({"bookingId": "b2"}))
    assert (await payments.payment())["booking_id"] == "b1"

    await payments.learn(booking("b2"))
    assert (await payments.payment())["booking_id"] == "b2"


async def test_booking_that_changes_nothing_publishes_nothing(payments: Payments) -> None:
    await payments.learn(BOOKING)
    await payments.take(paid({"bookingId": "b1"}))
    await payments.learn(booking("b1", 2, payment_reference="pi_1", status="PAID"))
    assert len(await payments.published()) == 1


async def test_payment_nobody_knows_stays_unmatched(payments: Payments) -> None:
    await payments.take(paid({"bookingId": "somewhere else", "bookingReference": 7}))
    await payments.learn(booking("b9"))
    assert (await payments.payment())["booking_id"] is None


async def test_bookings_and_payments_that_meet_at_once_all_find_each_other(payments: Payments) -> None:
    numbers = range(80)
    await payments.store(
        [
            stripe.event("payment_intent.succeeded", stripe.payment_intent(f"pi_{n}", metadata={"bookingId": f"b{n}"}))
            for n in numbers
        ]
    )

    async def learn_one_by_one() -> None:
        for number in numbers:
            await payments.learn(booking(f"b{number}"))

    async def process_in_pieces() -> None:
        while await payments.processor.process_due(limit=3):
            pass

    await asyncio.gather(learn_one_by_one(), process_in_pieces(), process_in_pieces())

    rows = await payments.rows("SELECT booking_id FROM payment")
    assert {row["booking_id"] for row in rows} == {f"b{number}" for number in numbers}
