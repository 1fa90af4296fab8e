"""Look into one stored event: is it ours, is its type handled, what does it show. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from payments.domain import fields
from payments.domain.addresses import as_bytea, digests_in
from payments.domain.redaction import mentioned
from payments.errors import UnreadableEvent
from payments.service.bodies import parse
from payments.service.shown import Shown, shown_in

# The state comes from the object inside, so one reader serves all types of one object.
# https://docs.stripe.com/api/events/types
HANDLED = frozenset(
    {
        "payment_intent.created",
        "payment_intent.requires_action",
        "payment_intent.processing",
        "payment_intent.amount_capturable_updated",
        "payment_intent.partially_funded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "payment_intent.succeeded",
        "charge.succeeded",
        "charge.pending",
        "charge.failed",
        "charge.captured",
        "charge.updated",
        "charge.expired",
        "charge.refunded",
        "refund.created",
        "refund.updated",
        "refund.failed",
        "charge.refund.updated",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
        "checkout.session.expired",
    }
)
_THIN = "v2.core.event"


class State(StrEnum):
    """What became of a stored event."""

    PROCESSED = "processed"
    IGNORED = "ignored"
    FAILED = "failed"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose events are taken: of this mode, and of our own account or the one connected account named."""

    livemode: bool
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A claimed row with the bytes of its first delivery, in the order in which it is read."""

    id: str
    type: str
    attempts: int
    traceparent: str | None
    received_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A stored event and what is to become of it; ``shown`` is there when it is to be applied."""

    stored: Stored
    state: State
    shown: Sequence[Shown] = ()
    error: str | None = None
    envelope: Mapping[str, Any] = field(default_factory=dict)

    def columns(self, backoff: Sequence[int]) -> dict[str, object]:
        """Return what is written to the row; a failed one is tried again after its pause, while there is one."""
        failed = self.state is State.FAILED
        attempts = self.stored.attempts + failed
        created = self.envelope.get("created")
        return {
            "id": self.stored.id,
            "state": self.state,
            "error": self.error,
            "attempts": attempts,
            "pause": backoff[attempts - 1] if failed and attempts <= len(backoff) else None,
            "created": datetime.fromtimestamp(created, UTC) if fields.is_second(created) else None,
            "api_version": _text(self.envelope.get("api_version")),
            "livemode": self.envelope.get("livemode") is True,
            "account": _text(self.envelope.get("account")),
            "object_id": self.shown[0].version.object.id if self.shown else None,
            "mentions": None if self.shown else mentioned(self.envelope),
            "addresses": as_bytea(digests_in(self.envelope)),
        }


def examine(stored: Stored, expected: Expected) -> Examined:
    """Decide what is to become of a stored event; raises ``RecursionError`` where it is nested too deeply."""
    envelope = fields.inner(parse(stored.body))  # accepted only as a JSON object
    if stored.type not in HANDLED or envelope.get("object") == _THIN:
        return Examined(stored=stored, state=State.IGNORED, envelope=envelope)
    if foreign := _foreign(envelope, expected):
        return Examined(stored=stored, state=State.QUARANTINED, error=foreign, envelope=envelope)
    try:
        shown = shown_in(stored.id, stored.type, envelope)
    except UnreadableEvent as error:
        return Examined(stored=stored, state=State.FAILED, error=f"UnreadableEvent: {error}", envelope=envelope)
    return Examined(stored=stored, state=State.PROCESSED, shown=shown, envelope=envelope)


def _foreign(envelope: Mapping[str, Any], expected: Expected) -> str | None:
    if envelope.get("livemode") is not expected.livemode:
        return f"livemode is {envelope.get('livemode')!r}, expected {expected.livemode}"
    account = envelope.get("account")
    if account is not None and account != expected.account:
        return "the event is of another account"
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.isprintable() else None
