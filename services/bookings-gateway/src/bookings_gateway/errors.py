"""Named failures."""


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


class UnknownColumns(LegacyError):
    """The body names fields that are no columns of the legacy table."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"Unknown field: {', '.join(sorted(names))}")
