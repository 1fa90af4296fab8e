"""Look into one stored event: is it ours, is its type handled, which object version does it carry. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from payments.domain.objects import read_object
from payments.domain.versions import Version
from payments.errors import UnreadableEvent

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
    }
)
_LATEST = 253_402_300_800


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A claimed row with the bytes of its first delivery."""

    id: str
    type: str
    attempts: int
    traceparent: str | None
    received_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A stored event and what is to become of it; ``version`` is there when it is to be applied."""

    stored: Stored
    state: State
    version: Version | None = None
    error: str | None = None
    envelope: Mapping[str, Any] = field(default_factory=dict)

    def columns(self, backoff: Sequence[int]) -> dict[str, object]:
        """Return what is written to the row; a failed one is tried again after its pause, while there is one."""
        failed = self.state is State.FAILED
        attempts = self.stored.attempts + failed
        created = _seconds(self.envelope.get("created"))
        return {
            "id": self.stored.id,
            "state": self.state,
            "error": self.error,
            "attempts": attempts,
            "pause": backoff[attempts - 1] if failed and attempts <= len(backoff) else None,
            "created": None if created is None else datetime.fromtimestamp(created, UTC),
            "api_version": _text(self.envelope.get("api_version")),
            "livemode": self.envelope.get("livemode") is True,
            "account": _text(self.envelope.get("account")),
            "object_id": self.version.object.id if self.version else None,
        }


def examine(stored: Stored, expected: Expected) -> Examined:
    """Decide what is to become of a stored event; never raises for what is in it."""
    envelope: Mapping[str, Any] = json.loads(stored.body)  # accepted only as a JSON object
    if stored.type not in HANDLED:
        return Examined(stored=stored, state=State.IGNORED, envelope=envelope)
    if foreign := _foreign(envelope, expected):
        return Examined(stored=stored, state=State.QUARANTINED, error=foreign, envelope=envelope)
    try:
        version = _version(stored.id, envelope)
    except UnreadableEvent as error:
        return Examined(stored=stored, state=State.FAILED, error=f"UnreadableEvent: {error}", envelope=envelope)
    return Examined(stored=stored, state=State.PROCESSED, version=version, envelope=envelope)


def _foreign(envelope: Mapping[str, Any], expected: Expected) -> str | None:
    if envelope.get("livemode") is not expected.livemode:
        return f"livemode is {envelope.get('livemode')!r}, expected {expected.livemode}"
    account = envelope.get("account")
    if account is not None and account != expected.account:
        return "the event is of another account"
    return None


def _version(event_id: str, envelope: Mapping[str, Any]) -> Version:
    seen = _seconds(envelope.get("created"))
    data = envelope.get("data")
    item = data.get("object") if isinstance(data, Mapping) else None
    if seen is None or not isinstance(item, Mapping):
        raise UnreadableEvent("the event has no creation time or no object")
    return Version(read_object(item, seen=seen), seen, event_id)


def _seconds(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < _LATEST else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.isprintable() else None
