"""The queries of the lists of users and of payments, by which their exports go too; every filter given must hold."""

from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bookings_gateway import customer_records as records
from bookings_gateway import customers
from bookings_gateway.errors import UnusableAmount
from bookings_gateway.schemas_admin import Currency, Moment, MoneyGiven, PaymentFlag, PaymentStatus, Word
from shared.money import to_minor

Limit = Annotated[int, Field(ge=1, le=200)]
Offset = Annotated[int, Field(ge=0, le=1_000_000_000)]
End = Annotated[Moment | None, Field(description="Not included")]
Order = Annotated[Literal["asc", "desc"], Field(description="What is missing counts as the smallest")]
UserSort = Literal[
    "id", "email", "name", "firstName", "lastName", "phone", "companyName", "placeholder", "totalBookings",
    "totalSpent", "totalPaid", "totalRefunded", "firstBookingDate", "lastBookingDate", "lastActivityDate", "createdAt",
]  # fmt: skip
BookingSort = Literal[
    "id", "bookingReference", "status", "paymentStatus", "userId", "customerName", "customerEmail", "phone",
    "companyName", "finalAmount", "currency", "paymentDate", "paymentMethod", "paymentReference", "createdAt",
    "updatedAt",
]  # fmt: skip
PaymentSort = Annotated[
    Literal[
        "createdAt", "paidAt", "amount", "refunded", "status", "method", "currency", "id", "received", "disputed",
        "net", "openDisputes", "cardBrand", "cardLast4", "bookingId", "bookingReference", "userId", "customerName",
        "reference", "stripePaymentIntentId", "stripeChargeId", "migrated", "inferredFields", "flag",
    ],
    Field(description="By the first seven any number of payments is sorted, by the others up to 20,000 that match"),
]  # fmt: skip


class _Listing(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=False, validate_by_alias=True, extra="forbid"
    )  # a filter with a typing error must not show everybody

    search: Annotated[
        str | None,
        Field(max_length=200, description="Name, e-mail, phone in any format, company, reference; words begun"),
    ] = None
    order: Order = "desc"
    created_from: Moment | None = None
    created_to: End = None

    def _given(self) -> dict[str, Any]:
        """Return the filters by the names that statements have for them."""
        given = self.model_dump(exclude={"order", "limit", "offset"})
        return {**given, "search": self.search or None, "descending": self.order == "desc"}


class UserFilters(_Listing):
    """Which users, in which order."""

    sort: UserSort = "createdAt"
    placeholder: bool | None = None
    has_bookings: bool | None = None
    active_from: Annotated[Moment | None, Field(alias="lastActivityFrom")] = None
    active_to: Annotated[End, Field(alias="lastActivityTo")] = None
    spent_from: Annotated[MoneyGiven | None, Field(alias="minSpent")] = None
    spent_to: Annotated[MoneyGiven | None, Field(alias="maxSpent", description="Included")] = None

    @property
    def wanted(self) -> customers.Wanted:
        spent = {"spent_from": _decimal(self.spent_from), "spent_to": _decimal(self.spent_to)}
        return customers.Wanted(**{**self._given(), **spent})


def _decimal(amount: str | None) -> Decimal | None:
    return Decimal(amount) if amount else None


class UserQuery(UserFilters):
    """A page of users."""

    limit: Limit = 50
    offset: Offset = 0


class PaymentsOfUserFilters(_Listing):
    """Which payments of a user, in which order."""

    sort: PaymentSort = "createdAt"
    status: PaymentStatus | None = None
    method: Word | None = None
    currency: Currency | None = None
    least: Annotated[MoneyGiven | None, Field(alias="minAmount", description="Needs `currency`")] = None
    most: Annotated[MoneyGiven | None, Field(alias="maxAmount", description="Needs `currency`")] = None
    booking_id: Word | None = None
    unmatched: Annotated[bool | None, Field(description="Without a booking")] = None
    refunded: Annotated[bool | None, Field(description="In part or in full")] = None
    disputed: bool | None = None
    flag: Annotated[PaymentFlag | None, Field(description="Of money that wants a person, and why")] = None

    @property
    def wanted(self) -> records.PaymentsWanted:
        """Raises :class:`UnusableAmount`."""
        amounts = {"least": self._minor(self.least), "most": self._minor(self.most)}
        return records.PaymentsWanted(**{**self._given(), **amounts})

    def _minor(self, amount: str | None) -> int | None:
        if amount is None:
            return None
        if self.currency is None:
            raise UnusableAmount("An amount is searched for in a `currency`; name it.")
        try:
            return to_minor(Decimal(amount), self.currency)
        except ValueError as error:
            raise UnusableAmount(f"{error}.") from None


class PaymentFilters(PaymentsOfUserFilters):
    """Which payments, in which order."""

    user_id: UUID | None = None


class PaymentsOfUserQuery(PaymentsOfUserFilters):
    """A page of payments of a user."""

    limit: Limit = 50
    offset: Offset = 0


class BookingsOfUserQuery(BaseModel):
    """A page of bookings of a user."""

    model_config = _Listing.model_config

    sort: BookingSort = "createdAt"
    order: Order = "desc"
    status: Annotated[Word | None, Field(description="Case does not count")] = None
    created_from: Moment | None = None
    created_to: End = None
    limit: Limit = 50
    offset: Offset = 0

    @property
    def wanted(self) -> records.BookingsWanted:
        given = self.model_dump(exclude={"order", "limit", "offset"})
        return records.BookingsWanted(**given, descending=self.order == "desc")


class PaymentQuery(PaymentFilters):
    """A page of payments."""

    limit: Limit = 50
    offset: Offset = 0
