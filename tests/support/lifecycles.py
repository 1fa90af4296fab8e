"""Whole lives of payments, as Stripe tells them, and what they come to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from support import stripe_payloads as stripe
from support.stripe_payloads import START, Json, balance_transaction

METADATA = {"bookingId": "b1"}
TAKEN = balance_transaction(-6750)
BACK = balance_transaction(6750)


@dataclass(frozen=True)
class Life:
    """Events in the order they happened, and the columns the payment ends with, whatever order they come in."""

    events: list[Json]
    expected: Mapping[str, Any]


class _Teller:
    """Says one event after another, ``spread`` seconds apart."""

    def __init__(self, spread: int) -> None:
        self._spread = spread
        self.at = START
        self.events: list[Json] = []

    def __call__(self, type_: str, item: Json, **fields: Any) -> None:
        self.events.append(stripe.event(type_, item, created=self.at, **fields))
        self.at += self._spread


def _paid(say: _Teller) -> Json:
    """A card payment with all that Stripe says of it; returns its charge."""
    intent: Json = {"metadata": METADATA}
    fee = balance_transaction(6750, fee=121)
    say("payment_intent.created", stripe.payment_intent(status="requires_payment_method", **intent))
    say("payment_intent.processing", stripe.payment_intent(status="processing", **intent))
    say("charge.pending", stripe.charge(status="pending", captured=False))
    say("payment_intent.succeeded", stripe.payment_intent(**intent))
    say("charge.succeeded", stripe.charge(balance_transaction=None))
    say("charge.updated", stripe.charge(balance_transaction=fee), previous={"balance_transaction": None})
    return stripe.charge(balance_transaction="txn_6750_121")


def _refunds(spread: int) -> Life:
    """Two partial refunds, the second failing after it succeeded."""
    say = _Teller(spread)
    charge = _paid(say)
    first: Json = {"created": say.at}
    say("refund.created", stripe.refund(status="pending", **first))
    say("charge.refunded", {**charge, "amount_refunded": 2000}, previous={"amount_refunded": 0})
    say("refund.updated", stripe.refund(**first), previous={"status": "pending"})
    second: Json = {"amount": 1000, "charge": None, "created": say.at}
    say("refund.created", stripe.refund("re_2", **second))
    say("charge.refunded", {**charge, "amount_refunded": 3000}, previous={"amount_refunded": 2000})
    say("refund.failed", stripe.refund("re_2", "failed", **second), previous={"status": "succeeded"})
    say("charge.refund.updated", stripe.refund("re_2", "failed", **second))
    say("charge.updated", {**charge, "amount_refunded": 2000}, previous={"amount_refunded": 3000})
    return Life(say.events, {"status": "succeeded", "received": 6750, "refunded": 2000, "disputed": 0, "net": 4750})


def _refunded_in_full_without_refund_events(spread: int) -> Life:
    say = _Teller(spread)
    charge = _paid(say)
    say("charge.refunded", {**charge, "amount_refunded": 750})
    say("charge.refunded", {**charge, "amount_refunded": 6750, "refunded": True}, previous={"amount_refunded": 750})
    return Life(say.events, {"status": "succeeded", "received": 6750, "refunded": 6750, "disputed": 0, "net": 0})


def _dispute(spread: int, end: str) -> Life:
    """An inquiry that becomes a chargeback, beside another inquiry that comes to nothing."""
    say = _Teller(spread)
    _paid(say)
    say("charge.dispute.created", stripe.dispute(status="warning_needs_response"))
    say("charge.dispute.created", stripe.dispute("du_2", "warning_needs_response", payment_intent=None))
    say("charge.dispute.updated", stripe.dispute(status="needs_response"))
    say("charge.dispute.funds_withdrawn", stripe.dispute(status="needs_response", balance_transactions=[TAKEN]))
    say("charge.dispute.updated", stripe.dispute(status="under_review", balance_transactions=[TAKEN]))
    say("charge.dispute.closed", stripe.dispute("du_2", "warning_closed", payment_intent=None))
    say("charge.dispute.closed", stripe.dispute(status=end, balance_transactions=[TAKEN]))
    if end == "won":
        back = [TAKEN, BACK]
        say("charge.dispute.funds_reinstated", stripe.dispute(status=end, balance_transactions=back))
    disputed = 6750 if end == "lost" else 0
    expected = {"status": "succeeded", "refunded": 0, "disputed": disputed, "open_disputes": 0, "net": 6750 - disputed}
    return Life(say.events, expected)


def _checkout_paid_later(spread: int) -> Life:
    """A bank debit: complete and unpaid at first. Only the session names the booking."""
    say = _Teller(spread)
    debit: Json = {"payment_method_types": ["bacs_debit"], "latest_charge": "ch_1"}
    charge: Json = {"payment_method_details": {"type": "bacs_debit", "bacs_debit": {"last4": "2345"}}}
    say("payment_intent.created", stripe.payment_intent(status="requires_payment_method"))
    say("payment_intent.processing", stripe.payment_intent(status="processing", **debit))
    say("charge.pending", stripe.charge(status="pending", captured=False, **charge))
    say("checkout.session.completed", stripe.checkout_session(payment_status="unpaid"))
    say("charge.succeeded", stripe.charge(**charge))
    say("payment_intent.succeeded", stripe.payment_intent(**debit))
    say("checkout.session.async_payment_succeeded", stripe.checkout_session())
    expected = {"status": "succeeded", "received": 6750, "net": 6750, "method": "bacs_debit", "card_last4": "2345"}
    return Life(say.events, expected)


def _checkout_failed_later(spread: int) -> Life:
    say = _Teller(spread)
    failed: Json = {"last_payment_error": {"code": "payment_method_bank_account_closed"}}
    say("payment_intent.processing", stripe.payment_intent(status="processing"))
    say("charge.pending", stripe.charge(status="pending", captured=False))
    say("checkout.session.completed", stripe.checkout_session(payment_status="unpaid"))
    say("charge.failed", stripe.charge(status="failed", captured=False))
    say("payment_intent.payment_failed", stripe.payment_intent(status="requires_payment_method", **failed))
    say("checkout.session.async_payment_failed", stripe.checkout_session(payment_status="unpaid"))
    return Life(say.events, {"status": "failed", "received": 0, "net": 0})


def _everything(spread: int) -> Life:
    """A checkout paid at once, refunded in part, then disputed over the rest."""
    say = _Teller(spread)
    say("checkout.session.completed", stripe.checkout_session())
    charge = _paid(say)
    refund: Json = {"created": say.at, "payment_intent": None}
    say("refund.created", stripe.refund(**refund))
    say("charge.refunded", {**charge, "amount_refunded": 2000})
    rest = [balance_transaction(-4750)]
    say("charge.dispute.created", stripe.dispute(amount=4750))
    say("charge.dispute.funds_withdrawn", stripe.dispute(amount=4750, balance_transactions=rest))
    return Life(
        say.events,
        {"refunded": 2000, "disputed": 4750, "open_disputes": 1, "net": 0, "stripe_checkout_session_id": "cs_1"},
    )


_LIVES: Mapping[str, Callable[[int], Life]] = {
    "refunds, one failing after it succeeded": _refunds,
    "refunded in full, told by the charge alone": _refunded_in_full_without_refund_events,
    "dispute lost": lambda spread: _dispute(spread, "lost"),
    "dispute won": lambda spread: _dispute(spread, "won"),
    "checkout paid later": _checkout_paid_later,
    "checkout failed later": _checkout_failed_later,
    "checkout, refund and dispute": _everything,
}
LIVES: Mapping[str, Life] = {
    f"{name}, {pace}": life(spread)
    for name, life in _LIVES.items()
    for pace, spread in (("in one second", 0), ("a minute apart", 60))
}
