"""What is left of a delivery once the person it tells of was erased: money, ids, states and times."""

from collections.abc import Mapping
from typing import Any

from payments.domain.reading import BOOKING_KEYS

# The strings that say what something is, not who somebody is; of all others nothing is left. Named are those that
# stay, so that a field Stripe adds tomorrow goes.
_STAY = frozenset(
    {
        *("id", "object", "type", "api_version", "account", "request", "idempotency_key"),
        *("status", "payment_status", "mode", "reason", "failure_reason", "cancellation_reason", "capture_method"),
        *("currency", "brand", "last4", "code", "decline_code", "reporting_category"),
        *("payment_intent", "charge", "latest_charge", "refund", "dispute", "customer", "payment_method", "invoice"),
        *("balance_transaction", "failure_balance_transaction", "payment_method_types"),
        *("client_reference_id", *BOOKING_KEYS),
    }
)
_DEEPEST = 50
# What an object may be about beside itself, by its id in full or by the object.
_ABOUT = ("customer", "payment_intent", "charge", "latest_charge")
_LONGEST_ID = 200


def redacted(value: Any, *, name: str = "", depth: int = 0) -> Any:  # noqa: ANN401 - JSON
    """Return JSON of the same shape in which strings remain only under names known to be harmless.

    What is nested more deeply than anything of Stripe's goes.
    """
    if depth > _DEEPEST:
        return None
    if isinstance(value, dict):
        return {key: redacted(item, name=key, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item, name=name, depth=depth + 1) for item in value]
    return None if isinstance(value, str) and name not in _STAY else value


def mentioned(envelope: Mapping[str, Any]) -> list[str]:
    """Return the ids of what an event is about: its object, and whose or what payment's that says it is."""
    item = _object(envelope)
    return sorted({id_ for each in (item, *(item.get(name) for name in _ABOUT)) if (id_ := _id(each))})


def customer_of(envelope: Mapping[str, Any]) -> str | None:
    """Return Stripe's id of the customer an event's object names."""
    return _id(_object(envelope).get("customer"))


def _object(envelope: Mapping[str, Any]) -> Mapping[str, Any]:
    data = envelope.get("data")
    item = data.get("object") if isinstance(data, Mapping) else None
    return item if isinstance(item, Mapping) else {}


def _id(value: object) -> str | None:
    """An id that the database takes, of an object or by itself."""
    id_ = value.get("id") if isinstance(value, Mapping) else value
    return id_ if isinstance(id_, str) and 0 < len(id_) <= _LONGEST_ID and id_.isascii() and id_.isprintable() else None
