"""Stripe's library, kept behind this module: nothing else imports it."""

from collections.abc import Sequence

from stripe import SignatureVerificationError, WebhookSignature

from payments.errors import DeliveryRefused, Reason


def verify(body: bytes, header: str | None, *, secrets: Sequence[str], tolerance_seconds: int, now: float) -> None:
    """Check that one of our secrets signed exactly these bytes, lately.

    ``header`` is ``Stripe-Signature`` as received. The time is checked in both directions: the library looks at the
    past alone, and a captured delivery stamped ahead could be replayed until then. Raises :class:`DeliveryRefused`.
    https://docs.stripe.com/webhooks#verify-manually
    """
    if not any(_signed_by(secret, body, header) for secret in secrets):
        raise DeliveryRefused(Reason.SIGNATURE, "No signature in Stripe-Signature fits this body and our secrets.")
    if abs(now - _timestamp(header or "")) > tolerance_seconds:
        raise DeliveryRefused(
            Reason.TIMESTAMP, f"The signature's time is more than {tolerance_seconds} s away from ours."
        )


def _signed_by(secret: str, body: bytes, header: str | None) -> bool:
    """Ask the library; what it lets through besides its own error are oddities of the sender's, not of ours."""
    try:
        WebhookSignature.verify_header(body, header, secret)
    except UnicodeDecodeError:
        raise DeliveryRefused(Reason.ENCODING, "The body is not UTF-8.") from None
    except (SignatureVerificationError, TypeError, ValueError, AttributeError, RecursionError):
        return False
    return True


def _timestamp(header: str) -> int:
    """Return the time that was signed: with two ``t=`` the first counts, as in the library. Call after it passed."""
    return next(int(item.split("=")[1]) for item in header.split(",") if item.split("=")[0] == "t")
