"""A payment that a historical booking proves, and how it stands beside what Stripe says. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime

from payments.domain.payment import PaymentState, PaymentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a migrated payment rests on, and which of its facts were filled in."""

    reference: str
    evidence: str
    inferred_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an import said of a booking's payment. Amounts in minor units of ``currency``."""

    booking_id: str
    status: PaymentStatus
    currency: str
    amount: int
    refunded: bool
    method: str
    paid_at: datetime
    created_at: datetime
    payment_intent: str | None
    provenance: Provenance

    @property
    def state(self) -> PaymentState:
        """The payment while Stripe says nothing of it."""
        received = self.amount if self.status is PaymentStatus.SUCCEEDED else 0
        return PaymentState(
            status=self.status,
            currency=self.currency,
            amount=self.amount,
            received=received,
            refunded=received if self.refunded else 0,
            method=self.method,
            payment_intent=self.payment_intent,
            charge=None,
            paid_at=self.paid_at,
            created_at=self.created_at,
            booking_keys=(self.booking_id,),
        )


def with_evidence(state: PaymentState | None, evidence: Evidence | None) -> PaymentState | None:
    """Return what Stripe's objects and the booking's evidence say together.

    Whatever Stripe says of the payment itself replaces the evidence. While Stripe tells only of a refund or a dispute,
    the evidence says what was received, and Stripe what went back.
    """
    if evidence is None:
        return state
    if state is None:
        return evidence.state
    keys = tuple(dict.fromkeys([*state.booking_keys, evidence.booking_id]))
    if state.status is not PaymentStatus.CREATED or state.currency != evidence.currency:
        return replace(state, booking_keys=keys)
    proved = evidence.state
    return replace(
        proved,
        refunded=max(proved.refunded, min(state.refunded, proved.received)),
        disputed=state.disputed,
        open_disputes=state.open_disputes,
        charge=state.charge,
        booking_keys=keys,
        unexplained=state.unexplained,
    )
