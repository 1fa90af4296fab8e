"""Payments made with Stripe's own client at a fake Stripe nobody here wrote, which delivers its webhooks itself."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import stripe

from local_stack.localstripe import LocalStripe
from local_stack.ports import free_port
from local_stack.rabbitmq import LocalRabbit
from support.databases import Databases
from support.oracle import drained, money_received, projected_totals, totals_by_customers_sql
from support.stripe_payloads import SECRET
from support.stripe_payloads import event as stripe_event
from support.system import System, system
from support.waiting import eventually

# stripe-python's asynchronous client posts its bodies in a way that httpx is tired of.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

DELIVERIES = "SELECT count(*) AS n FROM stripe_delivery d JOIN stripe_event e ON e.id = d.event_id WHERE object_id = $1"


@pytest.fixture(scope="module")
async def whole(
    databases: Databases, rabbit: LocalRabbit, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    async with system(databases, rabbit.url, tmp_path_factory.mktemp("logs")) as running:
        yield running


@pytest.fixture(scope="module")
def fake_stripe(whole: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStripe]:
    server = LocalStripe(tmp_path_factory.mktemp("localstripe"), free_port())
    server.start()
    server.register_webhook(f"{whole.payments.url}/api/webhooks/stripe", secret=SECRET)
    yield server
    server.stop()


@pytest.fixture
async def api(fake_stripe: LocalStripe) -> AsyncIterator[stripe.StripeClient]:
    http = stripe.HTTPXClient()
    yield stripe.StripeClient("sk_test_of_nobody", base_addresses={"api": fake_stripe.api_base}, http_client=http)
    await http.close_async()  # type: ignore[no-untyped-call]


@pytest.fixture
async def client(whole: System) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, headers=whole.staff) as http:
        yield http


async def book(whole: System, client: httpx.AsyncClient, email: str, amount: str) -> str:
    body = {"contactDetails": {"firstName": "Ann", "email": email}, "finalAmount": amount}
    response = await client.post(f"{whole.gateway.url}/api/admin/bookings", json=body)
    return str(response.json()["id"])


async def create_intent(api: stripe.StripeClient, booking_id: str, amount: int, card: str) -> stripe.PaymentIntent:
    return await api.v1.payment_intents.create_async(
        {"amount": amount, "currency": "gbp", "payment_method": card, "metadata": {"bookingId": booking_id}}
    )


async def pay(api: stripe.StripeClient, booking_id: str, amount: int) -> stripe.PaymentIntent:
    intent = await create_intent(api, booking_id, amount, "pm_card_visa")
    return await api.v1.payment_intents.confirm_async(intent.id)


async def wait_for_deliveries(whole: System, object_id: str, number: int) -> None:
    """Wait until payments has stored this many deliveries about one object of Stripe."""

    async def stored() -> bool:
        (row,) = await whole.query("payments", DELIVERIES, object_id)
        return bool(row["n"] == number)

    await eventually(stored, what=f"{number} deliveries of {object_id}")


async def booking(whole: System, client: httpx.AsyncClient, booking_id: str) -> Any:
    return (await client.get(f"{whole.gateway.url}/api/admin/bookings/{booking_id}")).json()


async def test_a_payment_at_stripe_becomes_a_paid_booking_and_the_customers_own_totals(
    whole: System, api: stripe.StripeClient, client: httpx.AsyncClient
) -> None:
    before = await money_received(whole)
    paid, unpaid = [await book(whole, client, "ann@example.com", amount) for amount in ("67.50", "20.00")]

    intent = await pay(api, paid, 6750)
    await wait_for_deliveries(whole, intent.id, 1)
    await drained(whole)

    row = await booking(whole, client, paid)
    assert (row["status"], row["paymentStatus"], row["paymentReference"]) == ("PAID", "paid", intent.id)
    assert (await booking(whole, client, unpaid))["paymentStatus"] == "unpaid"
    assert row["user"] == {"id": row["user"]["id"], "totalBookings": 2, "totalSpent": "87.50"}
    assert await projected_totals(whole) == await totals_by_customers_sql(whole)
    assert await money_received(whole) - before == {"paid": 6750}


async def test_a_payment_that_stripe_delivers_twice_counts_once(
    whole: System, fake_stripe: LocalStripe, api: stripe.StripeClient, client: httpx.AsyncClient
) -> None:
    before = await money_received(whole)
    twice = {"url": f"{whole.payments.url}/api/webhooks/stripe", "secret": SECRET}
    await client.post(f"{fake_stripe.api_base}/_config/webhooks/again", json=twice)
    booking_id = await book(whole, client, "ben@example.com", "10.00")

    intent = await pay(api, booking_id, 1000)
    await wait_for_deliveries(whole, intent.id, 2)
    await client.post(f"{fake_stripe.api_base}/_config/webhooks/again", json={**twice, "events": ["none"]})
    await drained(whole)

    assert (await booking(whole, client, booking_id))["paymentStatus"] == "paid"
    assert await money_received(whole) - before == {"paid": 1000}


async def test_a_refund_that_arrives_before_its_payment_is_given_back_all_the_same(
    whole: System, api: stripe.StripeClient, client: httpx.AsyncClient
) -> None:
    """localstripe tells of a payment after a second and never of a refund: that delivery is ours, and comes first."""
    before = await money_received(whole)
    booking_id = await book(whole, client, "cyd@example.com", "30.00")
    intent = await pay(api, booking_id, 3000)
    refund = await api.v1.refunds.create_async({"payment_intent": intent.id, "amount": 1200})

    await whole.send_webhook(client, stripe_event("refund.created", refund.to_dict()))
    await wait_for_deliveries(whole, intent.id, 1)
    await drained(whole)

    row = await booking(whole, client, booking_id)
    assert (row["status"], row["paymentStatus"]) == ("PAID", "partially_refunded")
    assert await money_received(whole) - before == {"paid": 3000, "refunded": 1200}


async def test_a_declined_card_leaves_the_booking_unpaid(
    whole: System, api: stripe.StripeClient, client: httpx.AsyncClient
) -> None:
    before = await money_received(whole)
    booking_id = await book(whole, client, "dan@example.com", "40.00")
    intent = await create_intent(api, booking_id, 4000, "pm_card_chargeCustomerFail")

    with pytest.raises(stripe.CardError):
        await api.v1.payment_intents.confirm_async(intent.id)
    await wait_for_deliveries(whole, intent.id, 1)
    await drained(whole)

    row = await booking(whole, client, booking_id)
    assert (row["status"], row["paymentStatus"]) == ("PENDING", "unpaid")
    assert await money_received(whole) == before
