"""An erased user's names and addresses go, whatever comes last; their money stays as it was."""

import hashlib
import json
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import text

from payments.service.erase_users import redact
from payments.service.operate_events import show_event
from payments.service.suggest_bookings import suggest_bookings
from support import stripe_payloads as stripe
from support.events import booking, erased, linked, merged
from support.payments import Payments

PERSON: dict[str, Any] = {
    "receipt_email": "ann@example.com",
    "description": "Course for Ann Lee",
    "billing_details": {"email": "ann@example.com", "name": "Ann Lee", "phone": "+44 20 7946 0000", "address": None},
    "shipping": {"name": "Ann Lee", "address": {"line1": "1 High Street", "postal_code": "N1 9GU"}},
    "metadata": {"bookingId": "b1", "attendee": "Ann Lee"},
}
PAID = stripe.event("payment_intent.succeeded", stripe.payment_intent(**PERSON))
TAKEN = stripe.event("charge.succeeded", stripe.charge(**PERSON), created=stripe.START + 5)
REFUNDED = stripe.event("refund.created", stripe.refund(), created=stripe.START + 60)
PERSONAL = ("ann@", "Ann Lee", "7946", "High Street", "N1 9GU")


async def bodies(payments: Payments) -> list[str]:
    return [row["body"].decode() for row in await payments.rows("SELECT body FROM stripe_delivery ORDER BY id")]


async def step(payments: Payments, name: str) -> None:
    if name == "erased":
        await payments.learn(erased("u1"))
    elif name == "linked":
        await payments.learn(booking("b1"), linked("b1", "u1"))
    else:
        await payments.take(PAID if name == "paid" else TAKEN)
    await redact(payments.engine)


@pytest.mark.parametrize("order", [*permutations(["erased", "linked", "paid", "charged"])], ids=" ".join)
async def test_nothing_personal_stays_whatever_comes_last(payments: Payments, order: tuple[str, ...]) -> None:
    for name in order:
        await step(payments, name)
    await payments.store([PAID])  # and once more, as Stripe does
    await redact(payments.engine)

    told = "".join(await bodies(payments))
    assert [word for word in PERSONAL if word in told] == []
    assert {row["email"] for row in await payments.rows("SELECT email FROM booking_hint")} == {None}
    payment = await payments.payment()
    assert (payment["received"], payment["booking_id"], payment["user_id"]) == (6750, "b1", "u1")


async def test_money_goes_on_being_counted_after_the_erasure(payments: Payments) -> None:
    for name in ("linked", "paid", "charged", "erased"):
        await step(payments, name)
    await payments.take(REFUNDED)
    await redact(payments.engine)
    assert (await payments.payment())["refunded"] == 2000


async def test_ties_within_a_second_are_told_apart_as_before(payments: Payments) -> None:
    """What the payload says was different before is money, states and ids, which redaction leaves."""
    first = stripe.event("charge.refunded", stripe.charge(amount_refunded=2000, **PERSON))
    after = stripe.event("charge.updated", stripe.charge(**PERSON), previous={"amount_refunded": 2000})
    await payments.learn(booking("b1"), linked("b1", "u1"), erased("u1"))
    await payments.take(first)
    assert await redact(payments.engine) == 1
    await payments.take(after)
    (kept,) = await payments.rows("SELECT kept FROM stripe_object WHERE id = 'ch_1'")
    assert kept["kept"]["newest"]["event_id"] == after["id"]


async def test_what_was_redacted_says_so_and_keeps_the_hash_of_what_came(payments: Payments) -> None:
    for name in ("linked", "paid"):
        await step(payments, name)
    received = (await bodies(payments))[0]
    await step(payments, "erased")

    found = await show_event(payments.engine, PAID["id"])
    assert found is not None
    (delivery,) = found.deliveries
    assert delivery["original_sha256"] == hashlib.sha256(received.encode()).hexdigest()
    assert delivery["redacted_at"] is not None
    left: dict[str, Any] = json.loads(found.body)
    assert left["data"]["object"]["amount"] == 6750
    assert left["data"]["object"]["metadata"] == {"bookingId": "b1", "attendee": None}


async def test_redacting_again_changes_nothing(payments: Payments) -> None:
    for name in ("linked", "paid", "erased"):
        await step(payments, name)
    assert await redact(payments.engine) == 0


async def test_somebody_else_s_deliveries_stay_as_they_came(payments: Payments) -> None:
    for name in ("linked", "paid"):
        await step(payments, name)
    received = await bodies(payments)
    await payments.learn(erased("u2"))
    assert await redact(payments.engine) == 0
    assert await bodies(payments) == received


async def test_who_counts_as_an_erased_user_is_erased_with_them(payments: Payments) -> None:
    for name in ("linked", "paid"):
        await step(payments, name)
    await payments.learn(merged("u1", "u2"), erased("u2"))
    assert await redact(payments.engine) == 1


async def test_notes_people_typed_go(payments: Payments) -> None:
    for name in ("linked", "paid"):
        await step(payments, name)
    payment = (await payments.payment())["id"]
    async with payments.engine.begin() as connection:
        for statement in (
            "INSERT INTO refund_request (id, payment_id, amount, currency, reason, requested_by, state) "
            "VALUES (gen_random_uuid(), :id, 1, 'GBP', 'Ann Lee fell ill', 'bob', 'accepted')",
            "INSERT INTO manual_payment (id, method, amount, currency, paid_at, booking, recorded_by, cancel_reason) "
            "VALUES (:id, 'cash', 1, 'GBP', now(), 'b1', 'bob', 'Ann Lee fell ill')",
            "INSERT INTO booking_evidence (booking_id, sequence, payment_id, canceled_by, canceled_at, cancel_reason) "
            "VALUES ('b9', 1, :id, 'bob', now(), 'Ann Lee fell ill')",
        ):
            await connection.execute(text(statement), {"id": payment})
    await step(payments, "erased")
    assert await payments.rows("SELECT reason, requested_by FROM refund_request") == [
        {"reason": None, "requested_by": "bob"}
    ]
    assert await payments.rows("SELECT cancel_reason, recorded_by FROM manual_payment") == [
        {"cancel_reason": None, "recorded_by": "bob"}
    ]
    assert await payments.rows("SELECT cancel_reason, canceled_by FROM booking_evidence") == [
        {"cancel_reason": None, "canceled_by": "bob"}
    ]


UNNAMED = {**PERSON, "metadata": {}, "receipt_email": "Ann@Example.com"}
UNNAMED_PAID = stripe.event("payment_intent.succeeded", stripe.payment_intent(**UNNAMED))
UNNAMED_TAKEN = stripe.event("charge.succeeded", stripe.charge(**UNNAMED))
CHANGED = stripe.event("customer.updated", {"id": "cus_1", "object": "customer", "email": "ann@example.com"})
ANNS_ERASURE = erased("u1", email="ann@example.com")


@pytest.mark.parametrize("erased_when", ["before", "after"])
async def test_what_has_their_address_goes_though_no_booking_says_whose_it_is(
    payments: Payments, erased_when: str
) -> None:
    if erased_when == "before":
        await payments.learn(ANNS_ERASURE)
    await payments.take(UNNAMED_PAID, UNNAMED_TAKEN, CHANGED)
    if erased_when == "after":
        await payments.learn(ANNS_ERASURE)
    assert await redact(payments.engine) == 3
    # The payment is theirs, so what comes later of it is, too, whoever it names.
    await payments.take(stripe.event("charge.updated", stripe.charge(description="Ann Lee"), created=stripe.START + 99))
    assert await redact(payments.engine) == 1

    assert [word for word in PERSONAL if word.lower() in "".join(await bodies(payments)).lower()] == []
    assert (await payments.payment())["received"] == 6750
    assert await redact(payments.engine) == 0


async def test_what_was_stored_before_addresses_were_noted_is_read_once(payments: Payments) -> None:
    await payments.take(UNNAMED_PAID)
    async with payments.engine.begin() as connection:
        await connection.execute(text("UPDATE stripe_event SET addresses = NULL"))
    await payments.learn(ANNS_ERASURE)
    assert await redact(payments.engine) == 1


@pytest.mark.parametrize("digests", [["no digest"], ["00ff"], []])
async def test_a_digest_we_do_not_know_is_passed_over(payments: Payments, digests: list[str]) -> None:
    strange = ANNS_ERASURE.model_copy(update={"data": {**ANNS_ERASURE.data, "address_digests": digests}})
    await payments.take(UNNAMED_PAID)
    await payments.learn(strange)
    assert await redact(payments.engine) == 0


async def test_what_their_address_paid_after_the_erasure_is_a_new_person_s(payments: Payments) -> None:
    later = stripe.event("payment_intent.succeeded", stripe.payment_intent(**UNNAMED), created=stripe.START + 1)
    await payments.learn(ANNS_ERASURE)
    await payments.take(later)
    assert await redact(payments.engine) == 0


async def test_an_erased_user_s_e_mail_suggests_nothing(payments: Payments) -> None:
    unnamed = stripe.event("payment_intent.succeeded", stripe.payment_intent("pi_9", receipt_email="ann@example.com"))
    for name in ("linked", "erased"):
        await step(payments, name)
    await payments.take(unnamed)
    payment = await payments.payment()
    assert await suggest_bookings(payments.engine, [payment]) == {payment["id"]: []}
