"""Which objects may still change, of those nobody tells us of: a walk of Stripe's API reads them again. Pure.

Money under way always may. A cart nobody went on with, a lapsed authorisation and a refund that arrived long ago would
be read for ever, so those only for some time after they were made. A captured charge may until its fee is known.
"""

from payments.domain.objects import (
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
)
from payments.domain.versions import Kept

ALWAYS = 2**63 - 1

_ENDED = frozenset({DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.WARNING_CLOSED, DisputeStatus.PREVENTED})
_WAITING = frozenset({IntentStatus.REQUIRES_ACTION, IntentStatus.PROCESSING, IntentStatus.REQUIRES_CAPTURE})
_BEGUN = frozenset({IntentStatus.REQUIRES_PAYMENT_METHOD, IntentStatus.REQUIRES_CONFIRMATION})
_UNDER_WAY = frozenset({RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION})


def unsettled_since(kept: Kept) -> int | None:
    """Return the unix second whose walks, and earlier ones, read the object again; ``None`` when it is settled."""
    item = kept.newest.object
    if _is_under_way(kept):
        return ALWAYS
    return item.created if _may_change_for_some_time(kept) else None


def _is_under_way(kept: Kept) -> bool:
    match kept.newest.object:
        case PaymentIntent(status=status):
            return status in _WAITING
        case Charge(status=status):
            return status is ChargeStatus.PENDING
        case Refund(status=status):
            return status in _UNDER_WAY
        case Dispute(status=status):
            return status not in _ENDED
        case CheckoutSession(status=status):
            return status is SessionStatus.OPEN


def _may_change_for_some_time(kept: Kept) -> bool:
    match kept.newest.object:
        case PaymentIntent(status=status):
            return status in _BEGUN
        case Charge(status=status, captured=captured, fee=fee):
            fee_is_known = fee is not None or "fee" in kept.sources
            return status is ChargeStatus.SUCCEEDED and not (captured and fee_is_known)
        case Refund(status=status):
            return status is RefundStatus.SUCCEEDED
        case Dispute():
            return False
        case CheckoutSession(payment_status=payment):
            return payment is SessionPayment.UNPAID
