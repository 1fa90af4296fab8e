"""A booking and a payment become a user, a link, totals and an activity line, through everything that is real."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from local_stack.rabbitmq import LocalRabbit
from support import stripe_payloads as stripe
from support.bearer import BEARER
from support.databases import Databases
from support.oracle import drained, projected_totals, totals_by_customers_sql
from support.system import System, system
from support.waiting import eventually

TRACEPARENTS = "SELECT body ->> 'traceparent' AS traceparent FROM"


@pytest.fixture(scope="module")
async def whole(
    databases: Databases, rabbit: LocalRabbit, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    async with system(databases, rabbit.url, tmp_path_factory.mktemp("logs")) as running:
        yield running


@pytest.fixture
async def client(whole: System) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, headers=whole.staff) as http:
        yield http


async def book(whole: System, client: httpx.AsyncClient, email: str, amount: str) -> str:
    body = {"contactDetails": {"firstName": "Ann", "lastName": "Lee", "email": email}, "finalAmount": amount}
    response = await client.post(f"{whole.gateway.url}/api/admin/bookings", json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def listing(whole: System, client: httpx.AsyncClient) -> dict[str, Any]:
    response = await client.get(f"{whole.gateway.url}/api/admin/bookings")
    return {row["id"]: row for row in response.json()}


async def test_bookings_by_api_and_by_sql_and_payments_in_any_order_give_the_customers_own_totals(
    whole: System, client: httpx.AsyncClient
) -> None:
    first = await book(whole, client, "ann@example.com", "67.50")
    second = await book(whole, client, "bob@example.com", "100.00")
    (by_sql,) = await whole.query(
        "bookings-gateway",
        """
        INSERT INTO bookings (id, "bookingReference", status, "contactDetails", "finalAmount", "createdAt", "updatedAt")
        VALUES (gen_random_uuid(), 'SQL0001', 'PENDING', '{"firstName": "ANN", "email": " Ann@Example.com "}', 42.50,
                '2025-01-15T10:30:00Z', now()) RETURNING id::text
        """,
    )
    intent = stripe.payment_intent("pi_1", amount=6750, amount_received=6750, metadata={"bookingId": first})
    deliveries = [
        stripe.event("refund.created", stripe.refund("re_1", "pending", amount=1000), created=stripe.START + 60),
        stripe.event("payment_intent.succeeded", intent, created=stripe.START + 5),
        stripe.event("refund.updated", stripe.refund("re_1", "succeeded", amount=1000), created=stripe.START + 70),
        stripe.event(
            "payment_intent.processing",
            stripe.payment_intent("pi_1", "processing", metadata={"bookingId": first}),
            created=stripe.START + 1,
        ),
    ]
    await asyncio.gather(*(whole.send_webhook(client, delivery) for delivery in [*deliveries, *reversed(deliveries)]))

    await drained(whole)

    assert await projected_totals(whole) == await totals_by_customers_sql(whole)
    rows = await listing(whole, client)
    assert rows[first]["user"] == {"id": rows[first]["user"]["id"], "totalBookings": 2, "totalSpent": "110.00"}
    assert rows[by_sql["id"]]["user"]["id"] == rows[first]["user"]["id"]
    assert rows[second]["user"]["totalSpent"] == "100.00"
    assert (rows[first]["status"], rows[first]["paymentStatus"]) == ("PAID", "partially_refunded")
    assert rows[second]["paymentStatus"] == "unpaid"


async def test_totals_and_activity_show_the_money_and_follow_an_update_and_a_deletion(
    whole: System, client: httpx.AsyncClient
) -> None:
    kept = await book(whole, client, "cyd@example.com", "10.00")
    gone = await book(whole, client, "cyd@example.com", "99.00")
    await client.put(f"{whole.gateway.url}/api/admin/bookings/{kept}", json={"finalAmount": "12.34"})
    await client.delete(f"{whole.gateway.url}/api/admin/bookings/{gone}")
    intent = stripe.payment_intent("pi_9", amount=1234, amount_received=1234, metadata={"booking_id": kept})
    await whole.send_webhook(client, stripe.event("payment_intent.succeeded", intent))

    await drained(whole)
    user_id = (await listing(whole, client))[kept]["user"]["id"]
    stats = whole.services["stats"].url

    async def settled() -> bool:
        totals = (await client.get(f"{stats}/internal/users/{user_id}/totals", headers=BEARER)).json()
        return bool(
            totals["currencies"]
            == [
                {
                    "currency": "GBP",
                    "total_spent": "12.34",
                    "total_paid": "12.34",
                    "total_refunded": "0.00",
                    "total_disputed": "0.00",
                    "net_paid": "12.34",
                }
            ]
            and totals["total_bookings"] == 1
        )

    await eventually(settled, what="the totals")
    activity = (await client.get(f"{stats}/internal/users/{user_id}/activity", headers=BEARER)).json()["items"]
    assert {"booking.created", "booking.updated", "booking.deleted", "payment.succeeded"} <= {
        line["kind"] for line in activity
    }


async def test_one_request_s_trace_reaches_every_effect(whole: System, client: httpx.AsyncClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    await client.post(
        f"{whole.gateway.url}/api/admin/bookings",
        json={"contactDetails": {"email": "trace@example.com"}, "finalAmount": "1.00"},
        headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
    )
    await drained(whole)

    for service, log, kind in (
        ("bookings-gateway", "gateway.event_log", "booking.created"),
        ("users", "event_log", "user.registered"),
        ("users", "event_log", "user.booking_linked"),
    ):
        events = await whole.query(service, f"{TRACEPARENTS} {log} WHERE type = $1", kind)
        assert trace in {row["traceparent"].split("-")[1] for row in events}, kind


async def test_a_customer_is_found_with_bookings_and_money_even_while_all_others_are_stopped(
    whole: System, client: httpx.AsyncClient
) -> None:
    booking = await book(whole, client, "dora.quill@example.com", "31.00")
    intent = stripe.payment_intent("pi_31", amount=3100, amount_received=3100, metadata={"bookingId": booking})
    await whole.send_webhook(client, stripe.event("payment_intent.succeeded", intent))
    await drained(whole)
    admin = f"{whole.gateway.url}/api/admin"

    async def found() -> bool:
        answer = (await client.get(f"{admin}/search", params={"q": "dora.quill"})).json()
        user = (await client.get(f"{admin}/users", params={"search": "quill"})).json()["data"]
        return bool(answer["payments"]) and [each["totalPaid"] for each in user] == ["31.00"]

    await eventually(found, what="the customer in the read model")
    user_id = (await client.get(f"{admin}/search", params={"q": "pi_31"})).json()["payments"][0]["userId"]
    detail = (await client.get(f"{admin}/users/{user_id}")).json()
    assert "activity" not in detail["unavailable"]
    assert {"booking.created", "payment.succeeded"} <= {line["kind"] for line in detail["parts"]["activity"]}

    others = [whole.services[name] for name in ("users", "payments", "stats")]
    for service in others:
        service.signal(signal.SIGSTOP)
    try:
        assert await found()
        detail = (await client.get(f"{admin}/users/{user_id}")).json()
        assert detail["unavailable"] == ["identity", "notes", "communications", "activity"]
        assert detail["parts"]["bookings"][0]["paymentStatus"] == "paid"
        assert (await client.get(f"{admin}/users/{user_id}/activity")).status_code == 503
    finally:
        for service in others:
            service.signal(signal.SIGCONT)
