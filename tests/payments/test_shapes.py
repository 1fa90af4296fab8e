"""Payloads of API versions from 2020 to today come to one model."""

from itertools import permutations
from typing import Any

import pytest

from payments.models import Payment
from support import stripe_payloads as stripe
from support.ledgers import payments_after
from support.stripe_payloads import START, Json

LATER = START + 100
REFUNDED: Json = {"amount_refunded": 2000}
CARD: Json = {"type": "card", "card": {"brand": "visa", "last4": "4242"}}


def charge(**fields: Any) -> Json:
    fields = {"payment_method_details": CARD, **REFUNDED, **fields}
    return stripe.charge(balance_transaction=stripe.balance_transaction(6750, fee=121), **fields)


def listed(*items: Json) -> Json:
    return {"object": "list", "data": list(items), "has_more": False, "url": "/v1/charges"}


def intent(**fields: Any) -> Json:
    return stripe.payment_intent(metadata={"bookingId": "b1"}, **fields)


def without(item: Json, *names: str) -> Json:
    return {name: value for name, value in item.items() if name not in names}


def paid(item: Json) -> Json:
    return stripe.event("payment_intent.succeeded", item, created=LATER)


OLD_REFUND = stripe.refund(payment_intent=None)
SHAPES: dict[str, list[Json]] = {
    "2020: charges listed in the intent, refunds in the charge": [
        paid(without(intent(charges=listed(charge(refunds=listed(OLD_REFUND)))), "latest_charge"))
    ],
    "charges as a plain array, refunds too": [paid(intent(charges=[charge(refunds=[OLD_REFUND])]))],
    "latest charge expanded, refunds absent": [paid(intent(latest_charge=charge()))],
    "both generations at once": [
        paid(intent(latest_charge=charge(), charges=listed(charge(refunds=listed(OLD_REFUND)))))
    ],
    "today: ids only, an event each": [
        paid(intent()),
        stripe.event("charge.refunded", charge(), created=LATER),
        stripe.event("refund.created", stripe.refund(), created=LATER),
    ],
    "refund with everything expanded": [
        stripe.event("refund.updated", stripe.refund(charge=charge(), payment_intent=intent()), created=LATER)
    ],
    "charge with its intent expanded": [stripe.event("charge.updated", charge(payment_intent=intent()), created=LATER)],
    "session with its intent and charge expanded": [
        stripe.event(
            "checkout.session.completed",
            stripe.checkout_session(payment_intent=intent(latest_charge=charge(payment_intent="pi_1"))),
            created=LATER,
        )
    ],
}


@pytest.mark.parametrize("events", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_comes_to_one_model(events: list[Json]) -> None:
    for order in permutations(events):
        (payment,) = payments_after(order)
        assert facts(payment) == ("succeeded", 6750, 2000, "pi_1", "ch_1", "card", "visa", "4242", (121, "GBP"), "b1")


def facts(payment: Payment) -> tuple[Any, ...]:
    state = payment.state
    assert state is not None
    fee = state.fee and (state.fee.minor, state.fee.currency)
    card = state.method, state.card_brand, state.card_last4
    ids = state.payment_intent, state.charge
    return (state.status, state.received, state.refunded, *ids, *card, fee, payment.booking_id)


def test_embedded_object_nobody_can_read_does_not_fail_the_event() -> None:
    (payment,) = payments_after([paid(intent(latest_charge={"id": "ch_1", "object": "charge", "status": "odd"}))])
    assert payment.state is not None
    assert (payment.state.received, payment.state.charge) == (6750, "ch_1")


def test_old_direct_charge_without_intent_is_a_payment() -> None:
    (payment,) = payments_after([stripe.event("charge.succeeded", charge(payment_intent=None))])
    assert payment.state is not None
    assert (payment.state.payment_intent, payment.state.charge, payment.state.refunded) == (None, "ch_1", 2000)


def test_authorisation_that_lapsed_was_never_paid_nor_refunded() -> None:
    lapsed = stripe.charge(captured=False, amount_refunded=6750, refunded=True, payment_intent=None)
    release = stripe.refund(amount=6750, reason="expired_uncaptured_charge", payment_intent=None)
    (payment,) = payments_after([stripe.event("charge.expired", lapsed), stripe.event("refund.created", release)])
    assert payment.state is not None
    assert (payment.state.status, payment.state.received, payment.state.refunded) == ("canceled", 0, 0)


def test_late_events_embedded_charge_does_not_take_back_what_a_newer_one_said() -> None:
    old = stripe.event("payment_intent.succeeded", intent(charges=listed(stripe.charge())))
    newer = stripe.event("charge.refunded", charge(), created=LATER)
    for order in permutations([old, newer]):
        (payment,) = payments_after(order)
        assert payment.state is not None
        assert payment.state.refunded == 2000
