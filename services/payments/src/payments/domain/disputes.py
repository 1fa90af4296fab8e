"""What disputes cost. A dispute is no loss by itself: an inquiry takes nothing, one that is won gives all back."""

from collections.abc import Iterable

from payments.domain.objects import Dispute, DisputeStatus

_INQUIRY = frozenset(
    {DisputeStatus.WARNING_NEEDS_RESPONSE, DisputeStatus.WARNING_UNDER_REVIEW, DisputeStatus.WARNING_CLOSED}
)
_CLOSED = frozenset({DisputeStatus.WARNING_CLOSED, DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.PREVENTED})
_FREE = _INQUIRY | {DisputeStatus.WON}
_UNTOLD_FREE = _FREE | {DisputeStatus.PREVENTED}


def disputed_total(disputes: Iterable[Dispute], *, currency: str, received: int) -> int:
    """Return the minor units of ``currency`` that disputes have taken and not given back, over all of a payment's."""
    return sum(_cost(dispute, currency=currency, received=received) for dispute in disputes)


def is_open(dispute: Dispute) -> bool:
    """Say whether it waits for an answer or a decision, inquiries included."""
    return dispute.status not in _CLOSED


def _cost(dispute: Dispute, *, currency: str, received: int) -> int:
    """Return what one dispute costs now.

    The account's movements tell (``funds_withdrawn``, ``funds_reinstated``; a lost one may still get some back). They
    are in the account's currency: where that is another one they say only whether money is gone, and the dispute's
    amount says how much. https://docs.stripe.com/api/disputes/object#dispute_object-balance_transactions
    """
    if dispute.status in _FREE:
        return 0
    if dispute.movements is None:
        return 0 if dispute.status in _UNTOLD_FREE else _amount(dispute, currency, received)
    taken = -sum(movement.minor for movement in dispute.movements)
    if all(movement.currency == currency for movement in dispute.movements):
        return max(0, taken)
    return _amount(dispute, currency, received) if taken > 0 else 0


def _amount(dispute: Dispute, currency: str, received: int) -> int:
    """A dispute told in foreign currencies alone counts as all that was received: amounts are not converted."""
    return dispute.amount if dispute.currency == currency else received
