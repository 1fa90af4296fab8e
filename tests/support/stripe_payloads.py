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


def event(type_: str, item: Json, *, created: int = START, **fields: Any) -> Json:
    """Return an event whose id follows from its content, so that a repetition is a duplicate."""
    digest = hashlib.sha256(json.dumps([type_, item, created], sort_keys=True).encode()).hexdigest()
    return {
        "id": f"evt_{digest[:24]}",
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": {"object": item},
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
