"""The objects of one payment side by side, and which of them speaks for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from payments.domain.objects import Charge, CheckoutSession, Dispute, PaymentIntent, Refund
from payments.domain.refunds import SeenCharge, SeenRefund
from payments.domain.versions import Kept


@dataclass(slots=True)
class Seen:
    """The objects of one payment, sorted by id, so that nothing depends on the order of loading."""

    intent: PaymentIntent | None = None
    intent_seen: int = 0
    charges: list[SeenCharge] = field(default_factory=list)
    refunds: list[SeenRefund] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)
    sessions: list[CheckoutSession] = field(default_factory=list)
    paid: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, objects: Iterable[Kept]) -> "Seen":
        seen = cls()
        for kept in sorted(objects, key=lambda kept: kept.newest.object.id):
            seen._add(kept)
        return seen

    def _add(self, kept: Kept) -> None:
        match kept.object:
            case PaymentIntent() as intent:
                self.intent, self.intent_seen = intent, kept.newest.seen
            case Charge() as charge:
                self.charges.append(SeenCharge(charge, kept.newest.seen))
            case Refund() as refund:
                self.refunds.append(SeenRefund(refund, kept.decided_since))
                return
            case Dispute() as dispute:
                self.disputes.append(dispute)
            case CheckoutSession() as session:
                self.sessions.append(session)
        self.paid += [] if kept.decided_since is None else [kept.decided_since]

    @property
    def charge(self) -> Charge | None:
        """The charge that speaks for the payment: a captured one before others, then the latest."""
        charges = (seen.charge for seen in self.charges)
        return max(charges, key=lambda charge: (charge.captured, charge.created, charge.id), default=None)

    @property
    def session(self) -> CheckoutSession | None:
        """The session that speaks for the payment: a settled one before others, then the latest."""
        return max(self.sessions, key=lambda each: (each.is_settled, each.created, each.id), default=None)

    @property
    def speaker(self) -> PaymentIntent | Charge | CheckoutSession | Refund | Dispute | None:
        """The object that says currency, amount and time."""
        given_back = next((refund.refund for refund in self.refunds), None)
        return self.intent or self.charge or self.session or given_back or next(iter(self.disputes), None)
