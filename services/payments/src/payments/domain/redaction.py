"""What is left of a delivery once the person it tells of was erased: money, ids, states and times."""

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
