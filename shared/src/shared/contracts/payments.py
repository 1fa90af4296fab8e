"""``payment.*``, published by the payments service. Subject: the payment's id."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from shared.contracts.base import Snapshot, register

Minor = Annotated[int, Field(ge=0, lt=2**63)]


class PaymentSnapshot(Snapshot):
    """A payment. Amounts are integer minor units of ``currency`` (upper-case ISO code)."""

    payment_id: str
    booking_id: str | None = None
    status: Literal["pending", "succeeded", "failed", "canceled"]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    amount: Minor
    received: Minor
    refunded: Minor
    method: str | None = None
    stripe_payment_intent_id: str | None = None
    stripe_charge_id: str | None = None
    paid_at: AwareDatetime | None = None
    created_at: AwareDatetime
    migrated: bool = False


register(PaymentSnapshot, "payment.pending", "payment.succeeded", "payment.failed", "payment.canceled")
register(PaymentSnapshot, "payment.refunded", "payment.disputed")
