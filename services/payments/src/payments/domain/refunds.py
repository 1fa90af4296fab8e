"""How much was given back. Money is right with ``refund.*`` alone, with ``charge.refunded`` alone, and with both."""

from collections.abc import Sequence
from dataclasses import dataclass

from payments.domain.objects import Charge, Refund
from payments.domain.versions import RETURNED

# Releasing an authorisation is shown as a refund of this reason: no money moved.
_RELEASE = "expired_uncaptured_charge"


@dataclass(frozen=True, slots=True)
class SeenCharge:
    """A charge and when it was last seen (unix seconds)."""

    charge: Charge
    seen: int


@dataclass(frozen=True, slots=True)
class SeenRefund:
    """A refund and since when its money is known to have come back, if it has."""

    refund: Refund
    returned_since: int | None

    @property
    def is_live(self) -> bool:
        """A pending refund counts as given back; a failed or canceled one does not."""
        return self.refund.status not in RETURNED

    def was_live_at(self, moment: int) -> bool:
        """Whether it counted in what a charge showed at ``moment``."""
        came_back = self.returned_since is not None and self.returned_since < moment
        return self.refund.created <= moment and not came_back


@dataclass(frozen=True, slots=True)
class Refunded:
    """Minor units given back; ``unexplained`` are the charges that show more than their known refunds."""

    total: int
    unexplained: tuple[str, ...] = ()


def refunded(charges: Sequence[SeenCharge], refunds: Sequence[SeenRefund]) -> Refunded:
    """Return what was given back over all charges of a payment; not capped when no captured charge is known."""
    real = [seen for seen in refunds if seen.refund.reason != _RELEASE]
    captured = sorted((seen for seen in charges if seen.charge.captured), key=lambda seen: seen.charge.id)
    if not captured:
        return Refunded(sum(seen.refund.amount for seen in real if seen.is_live))
    ids = {seen.charge.id for seen in captured}
    elsewhere = [seen for seen in real if seen.refund.charge not in ids]  # one charge is the rule: the first takes them
    total = 0
    unexplained = []
    for position, seen in enumerate(captured):
        own = [refund for refund in real if refund.refund.charge == seen.charge.id]
        known, provisional = _of_charge(seen, own if position else own + elsewhere)
        total += min(known + provisional, seen.charge.amount_captured)
        unexplained += [seen.charge.id] if provisional else []
    return Refunded(total, tuple(unexplained))


def _of_charge(seen: SeenCharge, refunds: Sequence[SeenRefund]) -> tuple[int, int]:
    """Return known refunds, and provisionally what the charge shows beyond those that counted when it was seen.

    After a partial capture the released rest may stand in ``amount_refunded``: never taken, so never given back.
    """
    charge = seen.charge
    known = sum(refund.refund.amount for refund in refunds if refund.is_live)
    counted = sum(refund.refund.amount for refund in refunds if refund.was_live_at(seen.seen))
    released = charge.amount - charge.amount_captured
    return known, max(0, charge.amount_refunded - released - counted)
