"""``payment.*``, published by the payments service. Subject: the payment's id."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from shared.contracts.base import Snapshot, register

Minor = Annotated[int, Field(ge=0, lt=2**63)]


class PaymentSnapshot(Snapshot):
    """A payment. Amounts are integer minor units of ``currency`` (upper-case ISO code).

    ``disputed`` is what disputes took and did not give back, ``open_disputes`` how many wait for a decision, inquiries
    included. ``net`` is received less refunded and disputed; negative when a dispute took what was refunded before,
    ``None`` in events from before it was told. ``fee`` is what Stripe kept, in the account's currency. ``reference``,
    ``evidence`` and ``inferred_fields`` are of a ``migrated`` payment: what its row proved, and what was filled in.
    """

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
    user_id: str | None = None
    disputed: Minor = 0
    open_disputes: Annotated[int, Field(ge=0)] = 0
    net: Annotated[int, Field(gt=-(2**63), lt=2**63)] | None = None
    fee: int | None = None
    fee_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    card_brand: str | None = None
    card_last4: str | None = None
    stripe_checkout_session_id: str | None = None
    reference: str | None = None
    evidence: Literal["stripe", "recorded", "status_only", "invoice"] | None = None
    inferred_fields: tuple[str, ...] = ()


register(PaymentSnapshot, "payment.pending", "payment.succeeded", "payment.failed", "payment.canceled")
register(PaymentSnapshot, "payment.refunded", "payment.disputed")
