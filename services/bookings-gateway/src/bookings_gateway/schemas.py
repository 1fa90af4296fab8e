"""Bodies of the legacy API, in the names of the table's layout. Other fields are columns of the table's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model

from bookings_gateway.domain import Layout
from bookings_gateway.errors import LegacyError

Text = Annotated[str, Field(min_length=1, max_length=50)]


class BookingBody(BaseModel):
    """What a client sends. Field names are the layout's, aliases the columns' own."""

    model_config = ConfigDict(extra="allow", validate_by_name=False, validate_by_alias=True)

    def given(self) -> dict[str, Any]:
        """Return what the body names, by wire name, as JSON values; money as exact strings.

        Raises :class:`LegacyError` for what is nested deeper than pydantic writes, some 250 levels.
        """
        try:
            return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        except ValueError as error:
            raise LegacyError("The body is nested too deeply") from error


_FIELDS: Mapping[str, Any] = {
    "reference": Text | None,
    "payment_date": AwareDatetime | None,
    "payment_method": str | None,
    "payment_reference": str | None,
    "created_at": AwareDatetime | None,
}
_NEW_FIELDS: Mapping[str, Any] = {
    "id": str | int | None,
    "status": Text | None,
    "contact": dict[str, Any],
    "final_amount": Annotated[Decimal | None, Field(ge=0, max_digits=10, decimal_places=2)],
}
# A whole booking as it was read may be sent back, whatever kind its values are.
_CHANGED_FIELDS: Mapping[str, Any] = {
    "status": Text | None,
    "contact": Any,
    "final_amount": Annotated[Decimal | None, Field(allow_inf_nan=False)],
}
_NEEDED = frozenset(["contact"])


@dataclass(frozen=True, slots=True)
class Bodies:
    """The bodies of one layout: a booking to be made, whose other columns get their defaults, and fields to change."""

    new: type[BookingBody]
    change: type[BookingBody]


def bodies(layout: Layout) -> Bodies:
    """Return the bodies clients of this layout send."""
    return Bodies(
        new=_model("NewBooking", layout, {**_FIELDS, **_NEW_FIELDS}, needed=_NEEDED),
        change=_model("BookingChange", layout, {**_FIELDS, **_CHANGED_FIELDS}, needed=frozenset()),
    )


def _model(name: str, layout: Layout, types: Mapping[str, Any], *, needed: frozenset[str]) -> type[BookingBody]:
    columns = layout.columns
    fields: dict[str, Any] = {
        field: (type_, Field(default=... if field in needed else None, alias=columns[field]))
        for field, type_ in types.items()
        if field in columns
    }
    return create_model(name, __base__=BookingBody, **fields)
