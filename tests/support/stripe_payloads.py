"""Builders of Stripe's objects and events, in the shape of a recent API version, and their signatures."""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from stripe import WebhookSignature

SECRET = "whsec_tests"
START = 1_767_225_600  # 2026-01-01
API_VERSION = "2026-10-28.endive"

Json = dict[str, Any]


def payment_intent(id_: str = "pi_1", status: str = "succeeded", **fields: Any) -> Json:
    """Return a PaymentIntent over 67.50 GBP; one that succeeded received it all."""
    paid = status == "succeeded"
    return {
        "id": id_,
        "object": "payment_intent",
        "amount": 6750,
        "amount_received": 6750 if paid else 0,
        "currency": "gbp",
        "created": START,
        "last_payment_error": None,
        "latest_charge": "ch_1" if paid else None,
        "livemode": False,
        "metadata": {},
        "payment_method_types": ["card", "link"],
        "status": status,
        **fields,
    }


def charge(id_: str = "ch_1", **fields: Any) -> Json:
    """Return a captured charge of pi_1 over 67.50 GBP."""
    return {
        "id": id_,
        "object": "charge",
        "amount": 6750,
        "amount_captured": 6750,
        "amount_refunded": 0,
        "captured": True,
        "created": START + 5,
        "currency": "gbp",
        "livemode": False,
        "metadata": {},
        "payment_intent": "pi_1",
        "payment_method_details": {"type": "card"},
        "refunded": False,
        "status": "succeeded",
        **fields,
    }


def refund(id_: str = "re_1", status: str = "succeeded", *, amount: int = 2000, **fields: Any) -> Json:
    """Return a refund of ch_1 of pi_1. Refunds have no ``livemode``."""
    return {
        "id": id_,
        "object": "refund",
        "amount": amount,
        "charge": "ch_1",
        "created": START + 60,
        "currency": "gbp",
        "metadata": {},
        "payment_intent": "pi_1",
        "reason": None,
        "status": status,
        **fields,
    }


def dispute(id_: str = "du_1", status: str = "needs_response", *, amount: int = 6750, **fields: Any) -> Json:
    """Return a dispute of ch_1 of pi_1 that took no money yet."""
    return {
        "id": id_,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": "ch_1",
        "created": START + 60,
        "currency": "gbp",
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": "pi_1",
        "reason": "fraudulent",
        "status": status,
        **fields,
    }


def balance_transaction(amount: int, *, currency: str = "gbp", fee: int = 0) -> Json:
    """Return a movement on the account's balance, in the account's currency."""
    id_ = f"txn_{amount}_{fee}"
    return {"id": id_, "object": "balance_transaction", "amount": amount, "currency": currency, "fee": fee}


def checkout_session(id_: str = "cs_1", payment_status: str = "paid", **fields: Any) -> Json:
    """Return a completed checkout of b1, paying 67.50 GBP by pi_1."""
    return {
        "id": id_,
        "object": "checkout.session",
        "amount_total": 6750,
        "client_reference_id": "b1",
        "created": START,
        "currency": "gbp",
        "livemode": False,
        "metadata": {},
        "mode": "payment",
        "payment_intent": "pi_1",
        "payment_status": payment_status,
        "status": "complete",
        **fields,
    }


def event(type_: str, item: Json, *, created: int = START, previous: Json | None = None, **fields: Any) -> Json:
    """Return an event whose id follows from its content, so that a repetition is a duplicate.

    ``previous`` is ``previous_attributes``.
    """
    digest = hashlib.sha256(json.dumps([type_, item, created, previous], sort_keys=True).encode()).hexdigest()
    changed = {} if previous is None else {"previous_attributes": previous}
    return {
        "id": f"evt_{digest[:24]}",
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": {"object": item, **changed},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type_,
        **fields,
    }


@dataclass(frozen=True)
class Signed:
    """A body and the header that proves it."""

    body: bytes
    signature: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Stripe-Signature": self.signature, "Content-Type": "application/json; charset=utf-8"}


def sign(payload: Json | bytes, *, secret: str = SECRET, age: int = 0) -> Signed:
    """Return a payload as Stripe would send it ``age`` seconds ago."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload, indent=2).encode()
    signature = WebhookSignature.generate_signature_header(body.decode(), secret, timestamp=int(time.time()) - age)
    return Signed(body, signature)
