"""HTTP bodies of the admin API: camelCase, money as strings in its currency, times as ``2025-01-15T10:30:00.000Z``."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from sqlalchemy import RowMapping

from shared.money import exponent, to_decimal


def _as_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _in_reach(moment: datetime) -> datetime:
    """Times the database and everybody's calendar can hold."""
    if not datetime(1900, 1, 1, tzinfo=UTC) <= moment < datetime(2200, 1, 1, tzinfo=UTC):
        raise ValueError("the time is not between 1900 and 2200")
    return moment


Instant = Annotated[
    datetime,
    PlainSerializer(_as_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2025-01-15T10:30:00.000Z"]}),
]
Moment = Annotated[AwareDatetime, AfterValidator(_in_reach)]
Word = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000, pattern=r"^[^\x00]*$")]
Money = Annotated[str, Field(examples=["67.50"])]
MoneyGiven = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,3})?$"), Field(examples=["67.50"])]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(examples=["GBP"])]


class Shown(BaseModel):
    """A body that is answered. Read from rows and from other services by the names those use."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="ignore")


class Given(BaseModel):
    """A body that is sent to us; what is not in it by name is refused."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=False, validate_by_alias=True, extra="forbid")


def examples(*bodies: dict[str, Any]) -> ConfigDict:
    """Return the configuration of a :class:`Given` that is documented with these."""
    return ConfigDict(**Given.model_config, json_schema_extra={"examples": list(bodies)})


class Totals(Shown):
    """One currency's sums. ``totalSpent`` is what bookings cost, the others what was really paid."""

    currency: str
    total_spent: Money
    total_paid: Money
    total_refunded: Money
    total_disputed: Money
    net_paid: Money


class UserItem(Shown):
    """A user in a list. Sums are in the business's own currency; ``totalSpent`` is what their bookings cost."""

    id: UUID
    email: str | None
    name: str
    first_name: str | None
    last_name: str | None
    phone: str | None
    company_name: str | None
    placeholder: bool = Field(description="Of one booking without a usable e-mail; nobody else is it")
    total_bookings: int
    total_spent: Money
    total_paid: Money
    total_refunded: Money
    first_booking_date: Instant | None
    last_booking_date: Instant | None
    last_activity_date: Instant | None
    created_at: Instant | None


class UserPage(Shown):
    """``total`` counts all that match, before limit and offset."""

    data: list[UserItem]
    total: int
    limit: int
    offset: int


class BookingItem(Shown):
    """A booking: the declared fields and no others. Nothing of participants is here."""

    id: str
    booking_reference: str | None
    status: str | None
    payment_status: Literal["unpaid", "paid", "partially_refunded", "refunded", "disputed"]
    user_id: UUID | None
    customer_name: str
    customer_email: str | None
    phone: str | None
    company_name: str | None
    final_amount: Money | None
    currency: str
    payment_date: Instant | None
    payment_method: str | None
    payment_reference: str | None
    created_at: Instant | None
    updated_at: Instant | None


class BookingPage(Shown):
    """Newest first."""

    data: list[BookingItem]
    total: int
    limit: int
    offset: int


class PaymentStatus(StrEnum):
    """What a payment is."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class PaymentFlag(StrEnum):
    """Why a payment that came did not mark its booking paid: it wants a person."""

    BOOKING_CANCELLED = "booking_cancelled"
    BOOKING_MISSING = "booking_missing"


class PaymentItem(Shown):
    """A payment. Amounts are in ``currency``; ``net`` is received less refunded and disputed.

    ``reference`` of a ``migrated`` payment is that of its record, ``inferredFields`` what was filled in there.
    """

    id: str
    status: PaymentStatus
    currency: str
    amount: Money
    received: Money
    refunded: Money
    disputed: Money
    net: Money
    open_disputes: int
    method: str | None
    card_brand: str | None
    card_last4: str | None
    booking_id: str | None
    booking_reference: str | None
    user_id: UUID | None
    customer_name: str
    reference: str | None
    stripe_payment_intent_id: str | None
    stripe_charge_id: str | None
    migrated: bool
    inferred_fields: list[str]
    flag: PaymentFlag | None
    paid_at: Instant | None
    created_at: Instant


class PaymentPage(Shown):
    """``total`` counts all that match, before limit and offset."""

    data: list[PaymentItem]
    total: int
    limit: int
    offset: int


class UserHit(UserItem):
    """A user found."""

    match: Literal["exact", "prefix", "similar"]


class BookingHit(BookingItem):
    """A booking found."""

    match: Literal["exact", "prefix", "similar"]


class PaymentHit(PaymentItem):
    """A payment found: by an id of its own, or because its booking was."""

    match: Literal["exact", "booking"]


class SearchAnswer(Shown):
    """What was found, best first."""

    query: str
    users: list[UserHit]
    bookings: list[BookingHit]
    payments: list[PaymentHit]


def user_item(row: RowMapping, currency: str) -> dict[str, Any]:
    """Return a row of ``customers`` as the fields of :class:`UserItem`."""
    sums = {name: amount_text(row[name], currency) for name in ("total_spent", "total_paid", "total_refunded")}
    return {**dict(row), **sums, "id": row["user_id"], "name": full_name(row)}


def totals(row: RowMapping, currency: str) -> list[Totals]:
    """Return the sums of every currency, the business's own first."""
    every = [
        Totals.model_validate(
            {
                "currency": sums["currency"],
                **{name: amount_text(Decimal(str(sums[name])), sums["currency"]) for name in _SUMS},
            }
        )
        for sums in row["currencies"]
    ]
    return sorted(every, key=lambda sums: (sums.currency != currency, sums.currency))


_SUMS = ("total_spent", "total_paid", "total_refunded", "total_disputed", "net_paid")
_MINOR = ("amount", "received", "refunded", "disputed", "net")


def booking_item(row: RowMapping) -> dict[str, Any]:
    """Return a row of ``customer_records`` as the fields of :class:`BookingItem`."""
    return {
        **dict(row),
        "id": row["booking_id"],
        "customer_name": full_name(row),
        "customer_email": row["email"],
        "company_name": row["company"],
        "final_amount": None if row["final_amount"] is None else amount_text(row["final_amount"], row["currency"]),
    }


def payment_item(row: RowMapping) -> dict[str, Any]:
    """Return a row of ``customer_records`` as the fields of :class:`PaymentItem`."""
    money = {name: f"{to_decimal(row[name], row['currency']):f}" for name in _MINOR}
    return {**dict(row), **money, "id": row["payment_id"], "customer_name": full_name(row)}


def full_name(row: RowMapping) -> str:
    """Return the name to show; empty where there is none."""
    return " ".join(part for part in (row["first_name"], row["last_name"]) if part)


def amount_text(amount: Decimal, currency: str) -> str:
    """Return an amount with at least its currency's decimals, and never fewer than it has."""
    return f"{amount.quantize(Decimal(1).scaleb(-max(exponent(currency), _decimals(amount)))):f}"


def _decimals(amount: Decimal) -> int:
    return max(-int(amount.normalize().as_tuple().exponent), 0)
