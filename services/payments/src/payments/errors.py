"""Named failures."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a delivery is refused; also the label it is counted by."""

    TOO_LARGE = "too_large"
    ENCODING = "encoding"
    SIGNATURE = "signature"
    TIMESTAMP = "timestamp"
    MALFORMED = "malformed"


class DeliveryRefused(Exception):
    """A delivery that is not Stripe's, or not an event; nothing of it is stored."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason

    @property
    def status(self) -> int:
        return 413 if self.reason is Reason.TOO_LARGE else 400


class NotStored(Exception):
    """The delivery is not known to be stored: the sender must send it again."""


class UnreadableEvent(Exception):
    """A stored event whose content does not say what its type promises."""


class GroupFailed(Exception):
    """A group of stored events could not be applied; one of ``ids`` is at fault."""

    def __init__(self, ids: list[str], cause: Exception) -> None:
        super().__init__(f"{len(ids)} events: {cause!r}")
        self.ids = ids
        self.cause = cause
