"""Named failures."""

from enum import StrEnum

from shared.refusals import Refusal


class Reason(StrEnum):
    """Why a delivery is refused; also the label it is counted by."""

    TOO_LARGE = "too_large"
    ENCODING = "encoding"
    SIGNATURE = "signature"
    TIMESTAMP = "timestamp"
    MALFORMED = "malformed"
    INCOMPLETE = "incomplete"


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


class StripeAway(Exception):
    """Stripe's API did not answer, or not now; what was asked for may or may not have happened."""

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class StripeRefused(Exception):
    """Stripe's API answered no; nothing happened."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NoSuchPayment(Refusal):
    """There is no payment of this id."""

    status = 404

    def __init__(self, payment_id: object) -> None:
        super().__init__(f"There is no payment {payment_id}.")


class NoSuchBooking(Refusal):
    """No booking of this name has been heard of."""

    status = 404

    def __init__(self, booking: str) -> None:
        super().__init__(f"There is no booking {booking}, or it has not been heard of yet.")


class UnusableAmount(Refusal):
    """An amount that is not positive, too large, or has more decimals than its currency."""

    status = 422


class RefundExceedsPayment(Refusal):
    """More would be given back than is left."""

    def __init__(self, amount: str, remaining: str, currency: str) -> None:
        super().__init__(
            f"{amount} {currency} is more than the {remaining} {currency} that can still be given back.",
            remaining=remaining,
            currency=currency,
        )


class NotRefundable(Refusal):
    """A payment that cannot be refunded through Stripe."""


class KeyReused(Refusal):
    """An idempotency key that stood for another request before."""

    status = 422

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for a different request.")


class NotManual(Refusal):
    """Only a payment that did not come through Stripe can be canceled by hand."""


class NoStripeKey(Refusal):
    """Stripe's API cannot be called."""

    status = 503

    def __init__(self) -> None:
        super().__init__("Refunds need PAYMENTS_STRIPE_API_KEY, and it is not set.")


class AlreadyReconciling(Exception):
    """Another run of reconcile is under way."""

    def __init__(self) -> None:
        super().__init__("another run of reconcile is under way")


class RefusedByStripe(Refusal):
    """Stripe said no to a refund; the payment is as it was."""

    def __init__(self, said: str) -> None:
        super().__init__(f"Stripe refused the refund: {said}")
