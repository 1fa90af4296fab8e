"""Named failures."""

from types import MappingProxyType
from typing import Any

from shared.refusals import Refusal


class LegacyTableMissing(LookupError):
    """The legacy table is not there; the message says where it was looked for and what to do."""


class LegacyTableUnfit(LookupError):
    """The legacy table has not the columns its layout declares; the message names them."""


class LegacyTableBusy(TimeoutError):
    """The short exclusive lock on the legacy table was not to be had; nothing was changed."""


class LegacyError(Exception):
    """A request to the legacy API that is refused. Becomes ``{"error": message}`` with ``status``."""

    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BookingNotFound(LegacyError):
    """No booking has this id."""

    status = 404

    def __init__(self) -> None:
        super().__init__("Booking not found")


class BookingTaken(LegacyError):
    """Another booking has this id or reference already."""

    status = 409

    def __init__(self) -> None:
        super().__init__("A booking with this id or reference exists already")


class BookingChanged(LegacyError):
    """The booking is not the version the client has seen (``If-Match``)."""

    status = 412

    def __init__(self) -> None:
        super().__init__("The booking has been changed meanwhile")


class UnknownColumns(LegacyError):
    """The body names fields that are no columns of the legacy table."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"Unknown field: {', '.join(sorted(names))}")


class NoSuchUser(Refusal):
    """No user of this id has been heard of."""

    status = 404

    def __init__(self, user_id: object) -> None:
        super().__init__(f"There is no user {user_id}, or it has not been heard of yet.")


class PartAway(Refusal):
    """The service that has this part did not answer, or not with what was agreed on."""

    status = 503

    def __init__(self, service: str) -> None:
        super().__init__(f"The {service} service does not answer; try again.", service=service)


class PartNotReached(PartAway):
    """There was no connection to ask the service by: whatever it was asked for is not done."""


class Declined(Refusal):
    """The service that decides said no: its own status, sentence and facts, and when to ask again."""

    def __init__(self, status: int, detail: str, facts: dict[str, Any], *, retry_after: str | None = None) -> None:
        super().__init__(detail, **facts)
        self.status = status
        if retry_after is not None:
            self.headers = {"Retry-After": retry_after}


class PreconditionMissing(Refusal):
    """An update must say which version it changes."""

    status = 428

    def __init__(self) -> None:
        super().__init__("Send `If-Match` with the `ETag` the user was read with.")


class NoSuchPayment(Refusal):
    """No payment of this id has been heard of."""

    status = 404

    def __init__(self, payment_id: object) -> None:
        super().__init__(f"There is no payment {payment_id}, or it has not been heard of yet.")


class TooManyExports(Refusal):
    """As many exports run as may at once."""

    status = 503
    headers = MappingProxyType({"Retry-After": "30"})

    def __init__(self) -> None:
        super().__init__("Other exports are running; try again in half a minute.")


class TooManyToSort(Refusal):
    """More payments match than are sorted by what no index has."""

    status = 422

    def __init__(self, sort: str, total: int, most: int) -> None:
        super().__init__(
            f"{total:,} payments match, and by {sort} at most {most:,} are sorted: narrow them down by search, time, "
            "status or another filter, or sort by createdAt."
        )


class UnusableAmount(Refusal):
    """An amount that is searched for without its currency, or with more decimals than that has."""

    status = 422
