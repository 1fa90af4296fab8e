"""What disputes cost, when they count as open, and what the world is told."""

from typing import Any

import pytest

from support import stripe_payloads as stripe
from support.ledgers import ledger_after, payments_after
from support.payments import Payments
from support.stripe_payloads import START, Json, balance_transaction

PAID = stripe.event("payment_intent.succeeded", stripe.payment_intent())


def disputed(id_: str = "du_1", status: str = "needs_response", *, at: int = 60, **fields: Any) -> Json:
    return stripe.event("charge.dispute.updated", stripe.dispute(id_, status, **fields), created=START + at)


TAKEN, PART, BACK = balance_transaction(-6750), balance_transaction(-2000), balance_transaction(6750)
DOLLARS = balance_transaction(-8800, currency="usd")
COSTS: dict[str, tuple[list[Json], int, int]] = {
    "an inquiry": ([disputed(status="warning_needs_response")], 0, 1),
    "a closed inquiry": ([disputed(status="warning_closed")], 0, 0),
    "a chargeback before money moved": ([disputed()], 0, 1),
    "a chargeback": ([disputed(balance_transactions=[TAKEN])], 6750, 1),
    "a partial chargeback": ([disputed(amount=2000, balance_transactions=[PART])], 2000, 1),
    "won, the money not yet back": ([disputed(status="won", balance_transactions=[TAKEN])], 0, 0),
    "won": ([disputed(status="won", balance_transactions=[TAKEN, BACK])], 0, 0),
    "lost": ([disputed(status="lost", balance_transactions=[TAKEN])], 6750, 0),
    "lost, given back later": ([disputed(status="lost", balance_transactions=[TAKEN, BACK])], 0, 0),
    "prevented by giving the money back": ([disputed(status="prevented", balance_transactions=[TAKEN])], 6750, 0),
    "movements not shown": ([disputed(status="lost", balance_transactions=None)], 6750, 0),
    "an inquiry, movements not shown": ([disputed(status="warning_under_review", balance_transactions=None)], 0, 1),
    "an account in dollars": ([disputed(status="lost", balance_transactions=[DOLLARS])], 6750, 0),
    "two at once": (
        [disputed("du_1", amount=2000, balance_transactions=[PART]), disputed("du_2", "warning_needs_response")],
        2000,
        2,
    ),
    "the former name of a closed inquiry": ([disputed(status="charge_refunded")], 0, 0),
}


@pytest.mark.parametrize(("events", "cost", "open_"), COSTS.values(), ids=COSTS.keys())
def test_dispute_costs_what_it_took_and_did_not_give_back(events: list[Json], cost: int, open_: int) -> None:
    (payment,) = payments_after([PAID, *events])
    assert payment.state is not None
    assert (payment.state.disputed, payment.state.open_disputes, payment.state.net) == (cost, open_, 6750 - cost)


def test_dispute_over_what_was_refunded_before_leaves_less_than_nothing() -> None:
    refund = stripe.event("refund.created", stripe.refund())
    (payment,) = payments_after([PAID, refund, disputed(status="lost", balance_transactions=[TAKEN])])
    assert payment.state is not None
    assert payment.state.net == -2000


def test_each_step_of_a_dispute_is_told_as_one() -> None:
    told = ledger_after(
        [
            PAID,
            disputed(at=60),
            disputed(at=61, status="needs_response", balance_transactions=[TAKEN]),
            disputed(at=62, status="needs_response", balance_transactions=[TAKEN], evidence={"text": "…"}),
            disputed(at=63, status="won", balance_transactions=[TAKEN]),
            disputed(at=64, status="won", balance_transactions=[TAKEN, BACK]),
        ]
    ).news
    snapshots = [(event.type, event.data.model_dump()) for event in told]
    facts = [(type_, snapshot["disputed"], snapshot["open_disputes"]) for type_, snapshot in snapshots]
    assert facts == [
        ("payment.succeeded", 0, 0),
        ("payment.disputed", 0, 1),
        ("payment.disputed", 6750, 1),
        ("payment.disputed", 0, 0),
    ]


async def test_dispute_that_names_only_its_charge_waits_for_it(payments: Payments) -> None:
    lonely = stripe.dispute(payment_intent=None, balance_transactions=[TAKEN])
    await payments.take(stripe.event("charge.dispute.funds_withdrawn", lonely, created=START + 60))
    await payments.take(stripe.event("charge.succeeded", stripe.charge()))
    payment = await payments.payment()
    assert (payment["received"], payment["disputed"], payment["net"]) == (6750, 6750, 0)
    (row,) = await payments.rows("SELECT status, amount, stripe_charge_id FROM dispute")
    assert row == {"status": "needs_response", "amount": 6750, "stripe_charge_id": "ch_1"}
