"""From Stripe's JSON to objects: one reader each, and everything one event shows, embedded objects included."""

from collections.abc import Callable, Iterator, Mapping

from payments.domain import fields
from payments.domain.fields import Raw
from payments.domain.objects import (
    Amount,
    Charge,
    ChargeStatus,
    CheckoutSession,
    Dispute,
    DisputeStatus,
    IntentStatus,
    PaymentIntent,
    Refund,
    RefundStatus,
    SessionPayment,
    SessionStatus,
    StripeObject,
)
from payments.errors import UnreadableEvent

BOOKING_KEYS = ("bookingId", "booking_id", "bookingReference")
# Where objects are found inside others: a reference that is expanded, or a list (until 2022-11-15 an intent lists its
# charges and a charge its refunds). https://docs.stripe.com/upgrades#2022-11-15
_EMBEDDED = ("latest_charge", "charge", "payment_intent")
_EMBEDDED_LISTS = ("charges", "refunds")
# What the event's name says of a session that does not say it itself (before 2022-08-01 it has no status).
_SESSION_STATUS = {
    "checkout.session.completed": SessionStatus.COMPLETE,
    "checkout.session.async_payment_succeeded": SessionStatus.COMPLETE,
    "checkout.session.async_payment_failed": SessionStatus.COMPLETE,
    "checkout.session.expired": SessionStatus.EXPIRED,
}
_FAILED_LATER = "checkout.session.async_payment_failed"


def read_object(raw: Raw, *, seen: int, event_type: str = "") -> StripeObject:
    """Return the object inside an event created at ``seen``, by its own ``object`` field, not the event's name.

    The name counts for checkout sessions alone: a failed one still reads ``complete``, ``unpaid``. Raises
    :class:`UnreadableEvent` where a guess would be needed.
    """
    reader = _READERS.get(str(raw.get("object")))
    if reader is None:
        raise UnreadableEvent(f"no reader for object {raw.get('object')!r}")
    try:
        return reader(raw, seen, event_type)
    except ValueError as error:  # a status this version does not know
        raise UnreadableEvent(str(error)) from None


def read_all(raw: Raw, *, seen: int, event_type: str = "") -> dict[str, tuple[StripeObject, Raw]]:
    """Return the object inside an event and those embedded in it, by id, the outermost first.

    An embedded one nobody can read is a mere mention: its own events tell of it. Raises :class:`UnreadableEvent` for
    the outermost alone.
    """
    outermost = read_object(raw, seen=seen, event_type=event_type)
    found = {outermost.id: (outermost, raw)}
    for child in _embedded(raw):
        try:
            inside = read_all(child, seen=seen)
        except UnreadableEvent:
            continue
        found = {**inside, **found}
    return {outermost.id: found.pop(outermost.id), **found}


def _embedded(raw: Raw) -> Iterator[Raw]:
    listed = [item for name in _EMBEDDED_LISTS for item in fields.items(raw, name) or ()]
    for value in (*listed, *(raw.get(name) for name in _EMBEDDED)):
        if isinstance(value, dict):
            yield value


def _payment_intent(raw: Raw, seen: int, _: str) -> PaymentIntent:
    status = IntentStatus(str(raw.get("status")))
    amount = fields.minor(raw, "amount")
    return PaymentIntent(
        id=fields.own_id(raw),
        status=status,
        currency=fields.currency(raw),
        amount=amount,
        amount_received=fields.minor(raw, "amount_received", amount if status is IntentStatus.SUCCEEDED else 0),
        attempt_failed=status is IntentStatus.REQUIRES_PAYMENT_METHOD and raw.get("last_payment_error") is not None,
        latest_charge=_latest_charge(raw),
        method=_only_method(raw),
        booking_keys=_booking_keys(raw),
        created=fields.created(raw, seen),
    )


def _charge(raw: Raw, seen: int, _: str) -> Charge:
    status = ChargeStatus(str(raw.get("status")))
    amount = fields.minor(raw, "amount")
    captured = status is ChargeStatus.SUCCEEDED and raw.get("captured") is not False
    method = fields.word(fields.inner(raw, "payment_method_details").get("type"))
    card = fields.inner(raw, "payment_method_details", method or "card")
    return Charge(
        id=fields.own_id(raw),
        status=status,
        captured=captured,
        currency=fields.currency(raw),
        amount=amount,
        amount_captured=fields.minor(raw, "amount_captured", amount) if captured else 0,
        amount_refunded=fields.minor(raw, "amount_refunded", 0),
        payment_intent=fields.reference(raw, "payment_intent"),
        balance_transaction=fields.reference(raw, "balance_transaction"),
        fee=_amount(raw.get("balance_transaction"), "fee"),
        method=method,
        card_brand=fields.word(card.get("brand")),
        card_last4=fields.word(card.get("last4")),
        booking_keys=_booking_keys(raw),
        created=fields.created(raw, seen),
    )


def _refund(raw: Raw, seen: int, _: str) -> Refund:
    return Refund(
        id=fields.own_id(raw),
        status=RefundStatus(str(raw.get("status") or RefundStatus.PENDING)),
        currency=fields.currency(raw),
        amount=fields.minor(raw, "amount"),
        charge=fields.reference(raw, "charge"),
        payment_intent=fields.reference(raw, "payment_intent"),
        reason=fields.word(raw.get("reason")),
        created=fields.created(raw, seen),
    )


def _dispute(raw: Raw, seen: int, _: str) -> Dispute:
    status = str(raw.get("status"))
    return Dispute(
        id=fields.own_id(raw),
        # the former name of an inquiry that ended because the charge was refunded
        status=DisputeStatus.WARNING_CLOSED if status == "charge_refunded" else DisputeStatus(status),
        currency=fields.currency(raw),
        amount=fields.minor(raw, "amount"),
        charge=fields.reference(raw, "charge"),
        payment_intent=fields.reference(raw, "payment_intent"),
        movements=_movements(raw),
        reason=fields.word(raw.get("reason")),
        created=fields.created(raw, seen),
    )


def _checkout_session(raw: Raw, seen: int, event_type: str) -> CheckoutSession:
    payment_status = SessionPayment(str(raw.get("payment_status") or SessionPayment.UNPAID))
    settled = payment_status is not SessionPayment.UNPAID
    implied = _SESSION_STATUS.get(event_type, SessionStatus.COMPLETE if settled else SessionStatus.OPEN)
    currency = None if raw.get("currency") is None else fields.currency(raw)
    return CheckoutSession(
        id=fields.own_id(raw),
        status=SessionStatus(str(raw.get("status") or implied)),
        payment_status=payment_status,
        takes_payment=currency is not None and raw.get("mode") in (None, "payment"),
        currency=currency,
        amount=fields.minor(raw, "amount_total", 0),
        payment_intent=fields.reference(raw, "payment_intent"),
        failed_at=seen if event_type == _FAILED_LATER and not settled else None,
        booking_keys=_booking_keys(raw),
        created=fields.created(raw, seen),
    )


_READERS: Mapping[str, Callable[[Raw, int, str], StripeObject]] = {
    "payment_intent": _payment_intent,
    "charge": _charge,
    "refund": _refund,
    "dispute": _dispute,
    "checkout.session": _checkout_session,
}


def _latest_charge(intent: Raw) -> str | None:
    """Until 2022-11-15 the newest of ``charges`` is the latest."""
    named = fields.reference(intent, "latest_charge")
    listed = [item for item in fields.items(intent, "charges") or () if isinstance(item, dict)]
    newest = max(listed, key=lambda charge: (fields.created(charge, 0), str(charge.get("id"))), default=None)
    return named or (fields.word(newest.get("id")) if newest else None)


def _movements(dispute: Raw) -> tuple[Amount, ...] | None:
    """Return the account's movements; ``None`` when they are not shown, or not in full."""
    listed = fields.items(dispute, "balance_transactions")
    if listed is None:
        return None
    amounts = [_amount(item, "amount") for item in listed]
    known = tuple(amount for amount in amounts if amount)
    return known if len(known) == len(amounts) else None


def _amount(balance_transaction: object, name: str) -> Amount | None:
    """Return an amount of an expanded balance transaction, in its own currency."""
    if not isinstance(balance_transaction, dict):
        return None
    minor = balance_transaction.get(name)
    if not fields.is_whole(minor) or not -(2**63) < minor < 2**63:
        return None
    return Amount(minor, fields.currency(balance_transaction))


def _only_method(intent: Raw) -> str | None:
    """The type of the method used where it is expanded, else the only one allowed."""
    types = intent.get("payment_method_types")
    only = types[0] if isinstance(types, list) and len(types) == 1 else None
    return fields.word(fields.inner(intent, "payment_method").get("type")) or fields.word(only)


def _booking_keys(raw: Raw) -> tuple[str, ...]:
    """What may name the booking, best first: metadata, then ``client_reference_id``."""
    metadata = fields.inner(raw, "metadata")
    words = [fields.word(value) for value in (*map(metadata.get, BOOKING_KEYS), raw.get("client_reference_id"))]
    return tuple(dict.fromkeys(word for word in words if word))
