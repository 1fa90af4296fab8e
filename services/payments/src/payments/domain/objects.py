"""PaymentIntent, Charge and Refund as this service understands them, whatever API version wrote them.

Every reference may be an id or an expanded object. Amounts are minor units, times unix seconds.
https://docs.stripe.com/api/payment_intents/object, …/charges/object, …/refunds/object
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeGuard

from payments.errors import UnreadableEvent

_LATEST = 253_402_300_800  # the year 10000: beyond it a time cannot be a datetime
_BOOKING_KEYS = ("bookingId", "booking_id", "bookingReference")
_LONGEST_KEY = 200


class IntentStatus(StrEnum):
    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    CANCELED = "canceled"
    SUCCEEDED = "succeeded"


class ChargeStatus(StrEnum):
    PENDING = "pending"
    FAILED = "failed"
    SUCCEEDED = "succeeded"


class RefundStatus(StrEnum):
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentIntent:
    """The wish to be paid. ``attempt_failed`` says it is back at the start after an error."""

    id: str
    status: IntentStatus
    currency: str
    amount: int
    amount_received: int
    attempt_failed: bool
    latest_charge: str | None
    method: str | None
    booking_keys: tuple[str, ...]
    created: int
    kind: Literal["payment_intent"] = "payment_intent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Money taken, or reserved while not ``captured``. ``amount_refunded`` may fall again."""

    id: str
    status: ChargeStatus
    captured: bool
    currency: str
    amount: int
    amount_captured: int
    amount_refunded: int
    payment_intent: str | None
    method: str | None
    booking_keys: tuple[str, ...]
    created: int
    kind: Literal["charge"] = "charge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money given back; it may still fail days later."""

    id: str
    status: RefundStatus
    currency: str
    amount: int
    charge: str | None
    payment_intent: str | None
    reason: str | None
    created: int
    kind: Literal["refund"] = "refund"


StripeObject = PaymentIntent | Charge | Refund
Raw = Mapping[str, Any]


def read_object(raw: Raw, *, seen: int) -> StripeObject:
    """Return the object inside an event created at ``seen``, by its own ``object`` field, not the event's name.

    Raises :class:`UnreadableEvent` where a guess would be needed.
    """
    reader = _READERS.get(str(raw.get("object")))
    if reader is None:
        raise UnreadableEvent(f"no reader for object {raw.get('object')!r}")
    try:
        return reader(raw, seen)
    except ValueError as error:  # a status this version does not know
        raise UnreadableEvent(str(error)) from None


def _payment_intent(raw: Raw, seen: int) -> PaymentIntent:
    status = IntentStatus(str(raw.get("status")))
    amount = _minor(raw, "amount")
    return PaymentIntent(
        id=_own_id(raw),
        status=status,
        currency=_currency(raw),
        amount=amount,
        amount_received=_minor(raw, "amount_received", amount if status is IntentStatus.SUCCEEDED else 0),
        attempt_failed=status is IntentStatus.REQUIRES_PAYMENT_METHOD and raw.get("last_payment_error") is not None,
        latest_charge=_reference(raw, "latest_charge"),
        method=_method(raw.get("latest_charge")) or _only_method(raw),
        booking_keys=_booking_keys(raw),
        created=_created(raw, seen),
    )


def _charge(raw: Raw, seen: int) -> Charge:
    status = ChargeStatus(str(raw.get("status")))
    amount = _minor(raw, "amount")
    captured = status is ChargeStatus.SUCCEEDED and raw.get("captured") is not False
    return Charge(
        id=_own_id(raw),
        status=status,
        captured=captured,
        currency=_currency(raw),
        amount=amount,
        amount_captured=_minor(raw, "amount_captured", amount) if captured else 0,
        amount_refunded=_minor(raw, "amount_refunded", 0),
        payment_intent=_reference(raw, "payment_intent"),
        method=_method(raw),
        booking_keys=_booking_keys(raw),
        created=_created(raw, seen),
    )


def _refund(raw: Raw, seen: int) -> Refund:
    return Refund(
        id=_own_id(raw),
        status=RefundStatus(str(raw.get("status") or RefundStatus.PENDING)),
        currency=_currency(raw),
        amount=_minor(raw, "amount"),
        charge=_reference(raw, "charge"),
        payment_intent=_reference(raw, "payment_intent"),
        reason=_word(raw.get("reason")),
        created=_created(raw, seen),
    )


_READERS: Mapping[str, Callable[[Raw, int], StripeObject]] = {
    "payment_intent": _payment_intent,
    "charge": _charge,
    "refund": _refund,
}


def _own_id(raw: Raw) -> str:
    id_ = _word(raw.get("id"))
    if id_ is None:
        raise UnreadableEvent("the object has no usable id")
    return id_


def _reference(raw: Raw, name: str) -> str | None:
    value = raw.get(name)
    id_ = _word(value.get("id") if isinstance(value, Mapping) else value)
    if value is not None and id_ is None:
        raise UnreadableEvent(f"{name} is neither an id nor an object")
    return id_


def _word(value: object) -> str | None:
    """Return a value that can stand in a text column and be somebody's key, else nothing."""
    usable = isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= _LONGEST_KEY
    return str(value).strip() if usable else None


def _minor(raw: Raw, name: str, default: int | None = None) -> int:
    value = raw.get(name)
    if value is None and default is not None:
        return default
    if not _is_whole(value) or not 0 <= value < 2**63:
        raise UnreadableEvent(f"{name} is no amount in minor units")
    return value


def _created(raw: Raw, seen: int) -> int:
    value = raw.get("created")
    return value if _is_whole(value) and 0 <= value < _LATEST else seen


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _currency(raw: Raw) -> str:
    value = raw.get("currency")
    if not isinstance(value, str) or len(value) != 3 or not value.isascii() or not value.isalpha():
        raise UnreadableEvent("currency is no ISO code")
    return value.upper()


def _method(charge: object) -> str | None:
    details = charge.get("payment_method_details") if isinstance(charge, Mapping) else None
    return _word(details.get("type")) if isinstance(details, Mapping) else None


def _only_method(intent: Raw) -> str | None:
    types = intent.get("payment_method_types")
    return _word(types[0]) if isinstance(types, list) and len(types) == 1 else None


def _booking_keys(raw: Raw) -> tuple[str, ...]:
    """What may name the booking, best first: metadata, then ``client_reference_id``."""
    metadata = raw.get("metadata")
    named = [metadata.get(name) for name in _BOOKING_KEYS] if isinstance(metadata, Mapping) else []
    words = [_word(value) for value in (*named, raw.get("client_reference_id"))]
    return tuple(dict.fromkeys(word for word in words if word))
