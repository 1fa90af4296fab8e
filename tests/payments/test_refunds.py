"""A refund asked for becomes one refund at Stripe, whatever breaks on the way."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from payments.operations import Operations
from support import stripe_payloads as stripe
from support.events import booking
from support.fake_stripe import FakeStripe
from support.payments import Payments
from support.waiting import eventually

BODY = {"amount": "20.00", "reason": "requested_by_customer", "requested_by": "ann"}
KEY = {"Idempotency-Key": "click-0001"}


@pytest.fixture
async def paid(payments: Payments, account: FakeStripe) -> UUID:
    events = [
        stripe.event("payment_intent.succeeded", stripe.payment_intent()),
        stripe.event("charge.succeeded", stripe.charge()),
    ]
    account.announces(*events)
    await payments.take(*events)
    id_: UUID = (await payments.payment())["id"]
    return id_


def refunds_at(account: FakeStripe) -> list[stripe.Json]:
    return [item for item in account.objects.values() if item["object"] == "refund"]


async def ask(client: httpx.AsyncClient, payment: UUID, **changes: Any) -> httpx.Response:
    headers = changes.pop("headers", KEY)
    return await client.post(f"/payments/{payment}/refunds", json={**BODY, **changes}, headers=headers)


async def make_due(payments: Payments) -> None:
    async with payments.engine.begin() as connection:
        await connection.execute(text("UPDATE refund_request SET next_attempt_at = now() WHERE state = 'pending'"))


async def test_refund_is_made_at_stripe_and_told_at_once(
    payments: Payments, internal: httpx.AsyncClient, account: FakeStripe, paid: UUID
) -> None:
    answer = await ask(internal, paid)

    assert (answer.status_code, answer.json()["state"]) == (201, "accepted")
    (refund,) = refunds_at(account)
    assert (refund["amount"], refund["reason"]) == (2000, "requested_by_customer")
    assert answer.json()["stripe_refund_id"] == refund["id"]
    assert (await payments.payment())["refunded"] == 2000
    told = [each["type"] for each in await payments.published()]
    assert (told[-1], told.count("payment.refunded")) == ("payment.refunded", 1)

    await payments.take(*account.events[2:])  # its webhooks change nothing more
    assert (await payments.payment())["refunded"] == 2000
    assert [each["type"] for each in await payments.published()] == told


async def test_same_key_again_is_the_same_refund(internal: httpx.AsyncClient, account: FakeStripe, paid: UUID) -> None:
    first, again = await ask(internal, paid), await ask(internal, paid)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert len(refunds_at(account)) == 1

    other = await ask(internal, paid, amount="21.00")
    assert (other.status_code, "Idempotency-Key" in other.json()["detail"]) == (422, True)


async def test_double_click_is_one_refund(internal: httpx.AsyncClient, account: FakeStripe, paid: UUID) -> None:
    answers = await asyncio.gather(*(ask(internal, paid) for _ in range(5)))
    assert {answer.status_code for answer in answers} <= {200, 201, 202}
    assert len(refunds_at(account)) == 1


async def test_more_than_is_left_is_refused_with_what_is_left(
    internal: httpx.AsyncClient, account: FakeStripe, paid: UUID
) -> None:
    await ask(internal, paid)
    answer = await ask(internal, paid, amount="47.51", headers={"Idempotency-Key": "click-0002"})
    assert (answer.status_code, answer.json()["remaining"], answer.json()["currency"]) == (409, "47.50", "GBP")
    assert len(refunds_at(account)) == 1

    assert (await ask(internal, paid, amount="47.50", headers={"Idempotency-Key": "click-0003"})).status_code == 201


async def test_two_requests_for_the_last_of_the_money_see_each_other(
    internal: httpx.AsyncClient, account: FakeStripe, paid: UUID
) -> None:
    answers = await asyncio.gather(
        *(ask(internal, paid, amount="40.00", headers={"Idempotency-Key": f"click-1{n}000"}) for n in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert sum(refund["amount"] for refund in refunds_at(account)) == 4000


@pytest.mark.parametrize("fault", ["lost", "hang", 500, 429])
async def test_refund_without_an_answer_waits_and_is_made_once(
    payments: Payments,
    internal: httpx.AsyncClient,
    parts: Operations,
    account: FakeStripe,
    paid: UUID,
    fault: int | str,
) -> None:
    account.faults.append(fault)
    answer = await ask(internal, paid)
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")

    blocked = await ask(internal, paid, amount="67.50", headers={"Idempotency-Key": "click-0002"})
    assert blocked.json()["remaining"] == "47.50"  # what is under way counts

    await make_due(payments)
    assert await parts.refunds.send_due()
    assert not await parts.refunds.send_due()
    assert len(refunds_at(account)) == 1
    assert (await payments.payment())["refunded"] == 2000
    assert (await ask(internal, paid)).json()["state"] == "accepted"


async def test_refund_made_long_ago_is_recognised_after_stripe_forgot_the_key(
    payments: Payments, internal: httpx.AsyncClient, parts: Operations, account: FakeStripe, paid: UUID
) -> None:
    account.faults.append("lost")
    await ask(internal, paid)
    account.made.clear()  # a day later

    await make_due(payments)
    assert await parts.refunds.send_due()
    assert len(refunds_at(account)) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_refund_already_made_is_not_taken_for_refused_when_refunds_cannot_be_listed(
    payments: Payments,
    internal: httpx.AsyncClient,
    parts: Operations,
    account: FakeStripe,
    paid: UUID,
    status: int,
) -> None:
    account.faults.extend(["lost", status])
    await ask(internal, paid)
    await make_due(payments)
    assert await parts.refunds.send_due()

    (row,) = await payments.rows("SELECT state, error FROM refund_request")
    assert (row["state"], "cannot be listed" in row["error"]) == ("pending", True)
    second = await ask(internal, paid, amount="67.50", headers={"Idempotency-Key": "click-0002"})
    assert (second.status_code, second.json()["remaining"]) == (409, "47.50")

    await make_due(payments)
    assert await parts.refunds.send_due()
    assert (await ask(internal, paid)).json()["state"] == "accepted"
    assert len(refunds_at(account)) == 1


async def test_crash_between_our_row_and_the_call_is_resumed(
    payments: Payments, internal: httpx.AsyncClient, parts: Operations, account: FakeStripe, paid: UUID
) -> None:
    account.faults.append("hang")
    calling = asyncio.create_task(ask(internal, paid))

    async def called() -> bool:
        return bool(account.calls)

    await eventually(called, what="Stripe called")
    calling.cancel()
    await asyncio.wait([calling])
    (row,) = await payments.rows("SELECT state, attempts FROM refund_request")
    assert row == {"state": "pending", "attempts": 1}

    await make_due(payments)
    assert await parts.refunds.send_due()
    assert len(refunds_at(account)) == 1
    assert (await payments.payment())["refunded"] == 2000


async def test_refusal_of_stripes_is_passed_on_and_frees_the_amount(
    payments: Payments, internal: httpx.AsyncClient, account: FakeStripe, paid: UUID
) -> None:
    charge = account.objects["ch_1"]
    account.holds({**charge, "amount_refunded": 6750})  # refunded elsewhere, and not heard of yet
    answer = await ask(internal, paid)
    assert answer.status_code == 409
    assert "greater than unrefunded amount" in answer.json()["detail"]
    (row,) = await payments.rows("SELECT state, next_attempt_at FROM refund_request")
    assert row == {"state": "refused", "next_attempt_at": None}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"amount": "0"}, 422),
        ({"amount": "-1.00"}, 422),
        ({"amount": "1.005"}, 422),
        ({"amount": 20.0}, 422),
        ({"amount": "NaN"}, 422),
        ({"requested_by": " "}, 422),
        ({"requested_by": "a\x00b"}, 422),
        ({"headers": {}}, 422),
    ],
)
async def test_unusable_request_is_refused(
    internal: httpx.AsyncClient, account: FakeStripe, paid: UUID, changes: dict[str, Any], status: int
) -> None:
    assert (await ask(internal, paid, **changes)).status_code == status
    assert refunds_at(account) == []


async def test_payment_nobody_knows_is_not_refunded(internal: httpx.AsyncClient) -> None:
    assert (await ask(internal, UUID(int=7))).status_code == 404


MANUAL = {
    "method": "cash",
    "amount": "67.50",
    "currency": "GBP",
    "paid_at": "2026-03-01T10:00:00Z",
    "booking": "b1",
    "recorded_by": "ann",
}


async def record(client: httpx.AsyncClient, key: str = "form-0001", **changes: Any) -> httpx.Response:
    return await client.post("/payments/manual", json={**MANUAL, **changes}, headers={"Idempotency-Key": key})


async def test_cash_is_a_payment_like_any_other(payments: Payments, internal: httpx.AsyncClient) -> None:
    await payments.learn(booking("b1"))
    answer, again = await record(internal), await record(internal)

    assert (answer.status_code, again.status_code) == (201, 200)
    (published,) = await payments.published()
    assert (published["type"], published["data"]["booking_id"]) == ("payment.succeeded", "b1")
    assert (published["data"]["received"], published["data"]["method"]) == (6750, "cash")
    assert published["time"] == datetime(2026, 3, 1, 10, tzinfo=UTC)
    shown = answer.json()
    assert (shown["payment"]["manual"], shown["payment"]["received"]) == (True, "67.50")
    assert ("recorded", "ann") in [(each["kind"], each["facts"].get("recorded_by")) for each in shown["timeline"]]


async def test_manual_payment_of_a_booking_not_heard_of_waits_for_it(
    payments: Payments, internal: httpx.AsyncClient
) -> None:
    await record(internal, booking="REF-b7")
    assert (await payments.payment())["booking_id"] is None
    await payments.learn(booking("b7"))
    assert (await payments.payment())["booking_id"] == "b7"


async def test_correction_is_a_cancel_with_who(payments: Payments, internal: httpx.AsyncClient) -> None:
    id_ = (await record(internal)).json()["payment"]["id"]
    for _ in range(2):
        answer = await internal.post(f"/payments/{id_}/cancel", json={"canceled_by": "bob", "reason": "typed twice"})
        assert answer.status_code == 200
    assert answer.json()["payment"]["status"] == "canceled"
    assert [each["type"] for each in await payments.published()] == ["payment.succeeded", "payment.canceled"]
    assert (await payments.published())[-1]["data"]["received"] == 0
    (canceled,) = (each["facts"] for each in answer.json()["timeline"] if each["kind"] == "canceled")
    assert canceled == {"canceled_by": "bob", "reason": "typed twice"}


async def test_manual_payment_is_canceled_not_refunded_and_stripes_the_other_way(
    internal: httpx.AsyncClient, paid: UUID
) -> None:
    id_ = (await record(internal)).json()["payment"]["id"]
    assert (await ask(internal, UUID(id_))).status_code == 409
    assert (await internal.post(f"/payments/{paid}/cancel", json={"canceled_by": "bob"})).status_code == 409


async def test_yen_and_dinar_are_exact(payments: Payments, internal: httpx.AsyncClient) -> None:
    await record(internal, "form-jpy1", currency="JPY", amount="5000")
    await record(internal, "form-kwd1", currency="KWD", amount="1.230")
    rows = await payments.rows("SELECT currency, received FROM payment ORDER BY currency")
    assert [(row["currency"], row["received"]) for row in rows] == [("JPY", 5000), ("KWD", 1230)]
    assert (await record(internal, "form-jpy2", currency="JPY", amount="50.5")).status_code == 422
