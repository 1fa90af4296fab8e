"""Bodies of the legacy API, in the default layout's names. Other fields are columns of the legacy table's own."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Status = Annotated[str, Field(min_length=1, max_length=50)]
Reference = Annotated[str, Field(min_length=1, max_length=50)]


class _BookingFields(BaseModel):
    model_config = ConfigDict(extra="allow", validate_by_name=False, validate_by_alias=True)

    booking_reference: Annotated[Reference | None, Field(alias="bookingReference")] = None
    payment_date: Annotated[AwareDatetime | None, Field(alias="paymentDate")] = None
    payment_method: Annotated[str | None, Field(alias="paymentMethod")] = None
    payment_reference: Annotated[str | None, Field(alias="paymentReference")] = None
    created_at: Annotated[AwareDatetime | None, Field(alias="createdAt")] = None

    def given(self) -> dict[str, Any]:
        """Return what the body names, by wire name, as JSON values; money as exact strings."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class NewBooking(_BookingFields):
    """A booking to be made. What is not given gets the legacy table's default."""

    id: UUID | None = None
    status: Status = "PENDING"
    contact_details: Annotated[dict[str, Any], Field(alias="contactDetails")]
    final_amount: Annotated[Decimal | None, Field(alias="finalAmount", ge=0, max_digits=10, decimal_places=2)] = None


class BookingChange(_BookingFields):
    """Fields to be changed; a whole booking as it was read may be sent back, whatever kind its values are."""

    status: Status | None = None
    contact_details: Annotated[Any, Field(alias="contactDetails")] = None
    final_amount: Annotated[Decimal | None, Field(alias="finalAmount", allow_inf_nan=False)] = None
