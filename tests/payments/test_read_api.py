"""What the gateway can ask: payments by user, booking and filter, one with its timeline, and matching by hand."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from payments.operations import Operations
from support import stripe_payloads as stripe
from support.events import booking, linked
from support.internal_api import internal_app
from support.payments import Payments

PAID = stripe.event("payment_intent.succeeded", stripe.payment_intent(metadata={"bookingId": "b1"}))


def several(count: int, **fields: Any) -> list[stripe.Json]:
    return [
        stripe.event(
            "payment_intent.succeeded",
            stripe.payment_intent(f"pi_{n}", created=stripe.START + n // 3, latest_charge=None, **fields),
        )
        for n in range(count)
    ]


async def ids(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get("/payments", params=query)
    assert answer.status_code == 200, answer.text
    return [payment["stripe_payment_intent_id"] for payment in answer.json()["data"]]


async def test_pages_end_inside_a_second_and_show_everything_once(
    payments: Payments, internal: httpx.AsyncClient
) -> None:
    await payments.take(*several(25))
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await internal.get("/payments", params={"limit": 4, **cursor})).json()
        found += [payment["stripe_payment_intent_id"] for payment in page["data"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert sorted(found) == sorted(f"pi_{n}" for n in range(25))
    assert len(found) == 25


async def test_every_filter_narrows(payments: Payments, internal: httpx.AsyncClient) -> None:
    await payments.learn(booking("b1"))
    dear = stripe.payment_intent("pi_dear", amount=900000, amount_received=900000, currency="jpy", latest_charge=None)
    failed = stripe.payment_intent("pi_bad", "requires_payment_method", last_payment_error={"code": "x"})
    await payments.take(
        PAID,
        stripe.event("charge.succeeded", stripe.charge()),
        stripe.event("refund.created", stripe.refund()),
        stripe.event("payment_intent.succeeded", dear),
        stripe.event("payment_intent.payment_failed", failed),
    )
    assert await ids(internal, status="failed") == ["pi_bad"]
    assert await ids(internal, method="card") == ["pi_1"]
    assert await ids(internal, currency="JPY", amount_from="900000", amount_to="900000") == ["pi_dear"]
    assert await ids(internal, currency="JPY", amount_from="900001") == []
    for text in ("pi_1", "ch_1", "re_1", "b1", "REF-b1"):
        assert await ids(internal, q=text) == ["pi_1"]
    day = datetime.fromtimestamp(stripe.START, UTC).isoformat()
    assert len(await ids(internal, created_from=day)) == 3
    assert await ids(internal, created_to=day) == []


async def test_payments_of_a_user_are_those_of_their_bookings(payments: Payments, internal: httpx.AsyncClient) -> None:
    await payments.take(PAID)
    await payments.learn(booking("b1"), linked("b1", "u1"))
    for path in ("/users/u1/payments", "/bookings/b1/payments"):
        (payment,) = (await internal.get(path)).json()["data"]
        assert (payment["booking_id"], payment["booking_reference"], payment["user_id"]) == ("b1", "REF-b1", "u1")
        assert (payment["amount"], payment["net"], payment["currency"]) == ("67.50", "67.50", "GBP")
    assert (await internal.get("/users/u2/payments")).json() == {"data": [], "next": None}


async def test_timeline_tells_deliveries_changes_and_refunds(payments: Payments, internal: httpx.AsyncClient) -> None:
    again = {**PAID, "pending_webhooks": 0}
    await payments.take(PAID, stripe.event("refund.created", stripe.refund(), created=stripe.START + 60))
    await payments.take(again)
    id_ = (await payments.payment())["id"]

    shown = (await internal.get(f"/payments/{id_}")).json()

    assert shown["payment"]["refunded"] == "20.00"
    kinds = [each["kind"] for each in shown["timeline"]]
    assert sorted(kinds) == ["change", "change", "delivery", "delivery", "delivery", "refund"]
    changes = [each["facts"] for each in shown["timeline"] if each["kind"] == "change"]
    assert [(each["type"], each["refunded"]) for each in changes] == [
        ("payment.succeeded", "0.00"),
        ("payment.refunded", "20.00"),
    ]
    assert [each["time"] for each in shown["timeline"]] == sorted(each["time"] for each in shown["timeline"])


async def test_unmatched_payment_gets_suggestions_and_none_is_applied(
    payments: Payments, internal: httpx.AsyncClient
) -> None:
    email = "Guest1@Example.com"
    charge = stripe.charge(billing_details={"email": f" {email} "})
    await payments.take(
        stripe.event("payment_intent.succeeded", stripe.payment_intent()), stripe.event("charge.succeeded", charge)
    )
    await payments.learn(
        booking("other", email="else@example.com", amount="67.50"),
        booking("dearer", email=email.lower(), amount="99.00"),
        booking("fits", email=email, amount="67.50"),
        booking("gone", email=email, amount="67.50", deleted=True),
    )

    (item,) = (await internal.get("/payments/unmatched")).json()["data"]

    assert [(each["booking_id"], each["same_amount"]) for each in item["suggestions"]] == [
        ("fits", True),
        ("dearer", False),
    ]
    assert (await payments.payment())["booking_id"] is None


async def test_match_by_hand_stands_above_what_metadata_and_later_bookings_say(
    payments: Payments, internal: httpx.AsyncClient
) -> None:
    await payments.take(PAID)
    await payments.learn(booking("b2"), linked("b2", "u2"))
    id_ = (await payments.payment())["id"]

    answer = await internal.post(f"/payments/{id_}/match", json={"booking": "REF-b2", "decided_by": "ann"})
    assert (answer.status_code, answer.json()["payment"]["booking_id"]) == (200, "b2")
    await payments.learn(booking("b1"))  # the one its metadata names
    await payments.take(stripe.event("refund.created", stripe.refund()))

    payment = await payments.payment()
    assert (payment["booking_id"], payment["user_id"], payment["refunded"]) == ("b2", "u2", 2000)
    assert [each["data"]["booking_id"] for each in await payments.published()] == [None, "b2", "b2"]


async def test_unmatch_is_kept_and_everybody_is_on_record(payments: Payments, internal: httpx.AsyncClient) -> None:
    await payments.learn(booking("b1"))
    await payments.take(PAID)
    id_ = (await payments.payment())["id"]
    for _ in range(2):
        answer = await internal.post(f"/payments/{id_}/unmatch", json={"decided_by": "bob"})
        assert answer.status_code == 200
    await payments.learn(booking("b1", 2))
    assert (await payments.payment())["booking_id"] is None
    assert await payments.rows("SELECT booking_id, former, decided_by FROM payment_match") == [
        {"booking_id": None, "former": "b1", "decided_by": "bob"}
    ]
    assert [each["data"]["booking_id"] for each in await payments.published()] == ["b1", None]


async def test_match_needs_a_payment_and_a_booking(payments: Payments, internal: httpx.AsyncClient) -> None:
    await payments.take(PAID)
    id_ = (await payments.payment())["id"]
    body = {"booking": "nowhere", "decided_by": "ann"}
    for path in (f"/payments/{id_}/match", f"/payments/{UUID(int=1)}/match"):
        assert (await internal.post(path, json=body)).status_code == 404
    assert len(await payments.rows("SELECT 1 FROM payment")) == 1


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/payments", {"cursor": "x"}),
        ("/payments", {"cursor": "MjAyNi0wMS0wMVQwMDowMDowMCAw"}),
        ("/payments", {"amount_from": "1.00"}),
        ("/payments", {"amount_from": "1.5", "currency": "JPY"}),
        ("/payments", {"created_from": "0001-01-01T00:00:00+23:00"}),
        ("/payments", {"q": "a\x00"}),
        ("/payments", {"status": "paid"}),
        ("/payments", {"limit": "0"}),
        ("/payments/no-uuid", {}),
    ],
)
async def test_unusable_query_is_refused(internal: httpx.AsyncClient, path: str, query: dict[str, str]) -> None:
    assert (await internal.get(path, params=query)).status_code == 422


async def test_nobody_comes_in_without_the_token(payments: Payments, parts: Operations) -> None:
    for token, sent, status in (
        ("a" * 20, None, 401),
        ("a" * 20, "Bearer b", 401),
        ("a" * 20, "Basic YTpi", 401),
        ("a" * 20, f"Bearer {'a' * 20}", 200),
        (None, "Bearer x", 503),
        (None, None, 503),
    ):
        transport = httpx.ASGITransport(internal_app(payments, parts.refunds, internal_token=token))
        async with httpx.AsyncClient(transport=transport, base_url="http://payments") as client:
            answer = await client.get("/internal/payments", headers={"Authorization": sent} if sent else {})
        assert answer.status_code == status
        if status == 503:
            assert "INTERNAL_TOKEN" in answer.json()["detail"]
