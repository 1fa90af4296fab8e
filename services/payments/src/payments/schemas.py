"""HTTP bodies of the internal API. Money is a decimal string in the payment's currency."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from payments.errors import UnusableAmount
from payments.service.find_payments import Wanted
from payments.service.record_manual_payment import Method
from shared.fields import Moment, Word
from shared.money import to_decimal, to_minor

Limit = Annotated[int, Field(ge=1, le=200)]
Cursor = Annotated[Word | None, Field(description="`next` of the page before")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Money = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,3})?$")]


class Status(StrEnum):
    """What a payment is; ``created`` ones are begun and no more."""

    CREATED = "created"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class PaymentQuery(BaseModel):
    """A page of the payments that are wanted; every filter given must hold."""

    status: Status | None = None
    method: Word | None = None
    currency: Currency | None = None
    amount_from: Annotated[Money | None, Field(description="Needs `currency`")] = None
    amount_to: Annotated[Money | None, Field(description="Needs `currency`; included")] = None
    created_from: Moment | None = None
    created_to: Annotated[Moment | None, Field(description="Not included")] = None
    q: Annotated[
        Word | None,
        Field(description="Exactly: a payment's, intent's, charge's or refund's id, a booking's id or reference"),
    ] = None
    limit: Limit = 50
    cursor: Cursor = None

    @property
    def wanted(self) -> Wanted:
        """Raises :class:`UnusableAmount`."""
        return Wanted(
            least=self._minor(self.amount_from),
            most=self._minor(self.amount_to),
            text=self.q,
            **self.model_dump(include={"status", "method", "currency", "created_from", "created_to"}),
        )

    def _minor(self, amount: str | None) -> int | None:
        if amount is None:
            return None
        if self.currency is None:
            raise UnusableAmount("An amount is searched for in a `currency`; name it.")
        try:
            return to_minor(amount_of(amount), self.currency)
        except ValueError as error:
            raise UnusableAmount(f"{error}.") from None


class RefundBody(BaseModel):
    """What to give back."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"amount": "20.00", "reason": "requested_by_customer", "requested_by": "ann@office"}]
        },
    )

    amount: Money
    reason: Word | None = None
    requested_by: Word


class ManualBody(BaseModel):
    """A payment that came by cash, bank transfer or invoice. ``booking`` is a booking's id or reference."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "method": "bank_transfer",
                    "amount": "67.50",
                    "currency": "GBP",
                    "paid_at": "2026-03-01T10:00:00Z",
                    "booking": "BK-2026-0042",
                    "reference": "statement 12, line 4",
                    "recorded_by": "ann@office",
                }
            ]
        },
    )

    method: Method
    amount: Money
    currency: Currency
    paid_at: Moment
    booking: Word
    reference: Word | None = None
    recorded_by: Word


class CancelBody(BaseModel):
    """Who takes a manual payment back, and why."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"canceled_by": "ann@office", "reason": "typed twice"}]}
    )

    canceled_by: Word
    reason: Word | None = None


class MatchBody(BaseModel):
    """Which booking, by its id or reference, and who says so."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"booking": "BK-2026-0042", "decided_by": "ann@office"}]}
    )

    booking: Word
    decided_by: Word


class UnmatchBody(BaseModel):
    """Who takes the payment away from its booking."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"decided_by": "ann@office"}]})

    decided_by: Word


class RefundState(BaseModel):
    """A refund asked for: ``pending`` ones are sent again until Stripe answers."""

    id: UUID
    payment_id: UUID
    state: Literal["pending", "accepted", "refused"]
    amount: str
    currency: str
    reason: str | None
    requested_by: str
    requested_at: datetime
    stripe_refund_id: str | None
    error: str | None


class PaymentItem(BaseModel):
    """One payment. ``fee`` is in ``fee_currency``, everything else in ``currency``.

    ``reference``, ``evidence`` and ``inferred_fields`` say what a payment from history rests on, and what of it was
    filled in.
    """

    id: UUID
    status: Status
    currency: str
    amount: str
    received: str
    refunded: str
    disputed: str
    net: str
    fee: str | None
    fee_currency: str | None
    open_disputes: int
    method: str | None
    card_brand: str | None
    card_last4: str | None
    booking_id: str | None
    booking_reference: str | None
    user_id: str | None
    matched_by_hand: bool
    manual: bool
    migrated: bool
    reference: str | None = None
    evidence: str | None = None
    inferred_fields: list[str] = []
    stripe_payment_intent_id: str | None
    stripe_charge_id: str | None
    paid_at: datetime | None
    created_at: datetime
    sequence: int


class PaymentPage(BaseModel):
    """Payments, newest first. ``next`` is the cursor of the following page."""

    data: list[PaymentItem]
    next: str | None


class SuggestionItem(BaseModel):
    """A booking of the same e-mail and currency as an unmatched payment."""

    booking_id: str
    reference: str | None
    same_amount: bool
    created_at: datetime | None


class UnmatchedItem(BaseModel):
    """A payment without a booking, and the bookings it may belong to, best first."""

    payment: PaymentItem
    suggestions: list[SuggestionItem]


class UnmatchedPage(BaseModel):
    """Payments without a booking, newest first."""

    data: list[UnmatchedItem]
    next: str | None


class TimelineItem(BaseModel):
    """Something that happened: ``kind`` says what ``facts`` holds."""

    time: datetime
    kind: Literal["delivery", "change", "refund", "dispute", "refund_request", "match", "recorded", "canceled"]
    facts: dict[str, Any]


class PaymentDetail(BaseModel):
    """A payment and everything that happened to it, oldest first."""

    payment: PaymentItem
    timeline: list[TimelineItem]


def shown(minor: int | None, currency: str | None) -> str | None:
    """Return minor units as people write them."""
    return None if minor is None or currency is None else f"{to_decimal(minor, currency):f}"


def amount_of(money: str) -> Decimal:
    return Decimal(money)


def payment_item(row: Mapping[str, Any]) -> PaymentItem:
    """Return a row of ``find_payments`` as its body."""
    money = {name: shown(row[name], row["currency"]) for name in ("amount", "received", "refunded", "disputed", "net")}
    named = {name: row[name] for name in PaymentItem.model_fields if name in row}
    provenance = row["provenance"] or {}
    return PaymentItem.model_validate({**named, **money, **provenance, "fee": shown(row["fee"], row["fee_currency"])})
