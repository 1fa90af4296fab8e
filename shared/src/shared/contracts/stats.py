"""``user_totals.changed``, published by the stats service. Subject: the user's id."""

from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, Field

from shared.contracts.base import Snapshot, register
from shared.contracts.bookings import Amount


class CurrencyTotals(Snapshot):
    """One currency's sums, as exact decimals of that currency.

    ``net_paid`` is paid less refunded less what disputes have withdrawn.
    """

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    total_spent: Amount
    total_paid: Amount
    total_refunded: Amount
    total_disputed: Amount = Decimal(0)
    net_paid: Amount = Decimal(0)


class UserTotalsSnapshot(Snapshot):
    """A user's totals, together with those of everybody merged into them; a merged user's own are zero.

    ``total_spent`` sums ``finalAmount`` of all the user's bookings, whatever their status.
    """

    user_id: str
    total_bookings: Annotated[int, Field(ge=0)]
    first_booking_date: AwareDatetime | None = None
    last_booking_date: AwareDatetime | None = None
    last_activity_date: AwareDatetime | None = None
    currencies: list[CurrencyTotals]


register(UserTotalsSnapshot, "user_totals.changed")
