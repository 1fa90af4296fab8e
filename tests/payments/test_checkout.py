"""What a checkout session means for its payment, and how it leads to the booking."""

from itertools import permutations
from typing import Any

import pytest

from payments.domain.payment import PaymentStatus
from payments.models import Payment
from payments.service.announce import Bookings
from support import stripe_payloads as stripe
from support.events import booking, linked
from support.ledgers import payments_after
from support.payments import Payments
from support.stripe_payloads import START, Json

PAID = stripe.event("payment_intent.succeeded", stripe.payment_intent())
PROCESSING = stripe.event("payment_intent.processing", stripe.payment_intent(status="processing"))


def session(type_: str = "completed", *, at: int = 0, **fields: Any) -> Json:
    item = stripe.checkout_session(**fields)
    return stripe.event(f"checkout.session.{type_}", item, created=START + at)


def only(*events: Json) -> Payment:
    """Return the one payment, the same in any order."""
    (payment,) = payments_after(events)
    for order in permutations(events):
        (other,) = payments_after(order)
        assert (other.id, other.state, other.booking_id) == (payment.id, payment.state, payment.booking_id)
    return payment


UNPAID: dict[str, Any] = {"payment_status": "unpaid"}
FAILED = session("async_payment_failed", at=60, **UNPAID)
STATUS: dict[str, tuple[list[Json], str, int]] = {
    "paid": ([session()], "succeeded", 6750),
    "complete and unpaid": ([session(**UNPAID)], "pending", 0),
    "paid later": ([session(**UNPAID), session("async_payment_succeeded", at=60)], "succeeded", 6750),
    "failed later": ([session(**UNPAID), FAILED], "failed", 0),
    "failed later, in the same second": ([session(**UNPAID), session("async_payment_failed", **UNPAID)], "failed", 0),
    "failed later, the intent last seen under way": ([PROCESSING, session(**UNPAID), FAILED], "failed", 0),
    "failed later, read again from the API": (
        [FAILED, stripe.event("fetched", stripe.checkout_session(**UNPAID), created=START + 90)],
        "failed",
        0,
    ),
    "expired": ([session("expired", status="expired", payment_intent=None, **UNPAID)], "created", 0),
    "open": ([session("expired", status="open", **UNPAID)], "created", 0),
    "free": ([session(payment_status="no_payment_required", payment_intent=None, amount_total=0)], "succeeded", 0),
    "paid, and so says the intent": ([session(), PAID], "succeeded", 6750),
    "before sessions had a status": ([session(status=None, **UNPAID)], "pending", 0),
}


@pytest.mark.parametrize(("events", "status", "received"), STATUS.values(), ids=STATUS.keys())
def test_session_tells_what_became_of_the_payment(events: list[Json], status: str, received: int) -> None:
    state = only(*events).state
    assert state is not None
    assert (state.status, state.received, state.checkout_session) == (status, received, "cs_1")


@pytest.mark.parametrize("mode", ["setup", "subscription"])
def test_session_that_takes_no_payment_is_none(mode: str) -> None:
    assert payments_after([session(mode=mode, currency=None, amount_total=None, payment_intent=None)]) == []


def test_session_that_learns_its_intent_is_one_payment_with_it() -> None:
    open_ = session("expired", status="open", payment_intent=None, **UNPAID)
    payment = only(open_, session(at=5), PAID)
    assert payment.state is not None
    assert (payment.state.payment_intent, payment.state.status) == ("pi_1", PaymentStatus.SUCCEEDED)


async def test_name_nothing_belongs_to_leaves_no_payment(payments: Payments) -> None:
    open_ = session("expired", status="open", payment_intent=None, **UNPAID)
    await payments.take(open_)
    await payments.take(session(at=5))
    assert (await payments.payment())["stripe_checkout_session_id"] == "cs_1"


@pytest.mark.parametrize(
    "names",
    [
        {"client_reference_id": "REF-b1"},
        {"client_reference_id": None, "metadata": {"bookingId": "b1"}},
        {"client_reference_id": "b9", "metadata": {"bookingReference": "REF-b1"}},
    ],
)
async def test_session_leads_its_intent_to_the_booking_and_its_user(payments: Payments, names: dict[str, Any]) -> None:
    await payments.learn(booking("b1"), booking("b9"), linked("b1", "u1"))
    await payments.take(PAID, session(**names))
    payment = await payments.payment()
    assert (payment["booking_id"], payment["user_id"]) == ("b1", "u1")


def test_intents_own_metadata_stands_above_the_sessions() -> None:
    intent = stripe.event("payment_intent.succeeded", stripe.payment_intent(metadata={"bookingId": "b2"}))
    bookings = Bookings({"b1": "b1", "b2": "b2"})
    for order in permutations([intent, session()]):
        (payment,) = payments_after(order, bookings=bookings)
        assert payment.booking_id == "b2"
