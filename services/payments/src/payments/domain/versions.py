"""Which version of an object is newer. Stripe's ``created`` has whole seconds and arrival order means nothing.

Versions are compared step by step; the first step that tells them apart decides:

1. a terminal PaymentIntent (``succeeded``, ``canceled``) stands above one that is not, whatever the times;
2. the later event's ``created``;
3. the rank of the object's status in its life (tables below);
4. amounts that only grow: an intent's ``amount_received``, a charge's ``amount_captured``;
5. a charge's ``amount_refunded`` (weak: it may fall);
6. the greater event id: arbitrary, but the same whatever the order.

Being one total order, the greatest of a set of versions does not depend on the order they are met in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from payments.domain.objects import (
    Charge,
    ChargeStatus,
    IntentStatus,
    PaymentIntent,
    Refund,
    RefundStatus,
    StripeObject,
)

# A failed attempt stands above `processing`: a wrong "failed" is mended by the next event, a wrong "processing"
# might have no next event.
_INTENT_RANK: Mapping[IntentStatus, int] = {
    IntentStatus.REQUIRES_PAYMENT_METHOD: 0,
    IntentStatus.REQUIRES_CONFIRMATION: 1,
    IntentStatus.REQUIRES_ACTION: 2,
    IntentStatus.PROCESSING: 3,
    IntentStatus.REQUIRES_CAPTURE: 5,
    IntentStatus.CANCELED: 6,
    IntentStatus.SUCCEEDED: 6,
}
_ATTEMPT_FAILED_RANK = 4
_TERMINAL = frozenset({IntentStatus.SUCCEEDED, IntentStatus.CANCELED})
_CHARGE_RANK: Mapping[ChargeStatus, int] = {
    ChargeStatus.PENDING: 0,
    ChargeStatus.FAILED: 1,
    ChargeStatus.SUCCEEDED: 1,
}
_REFUND_RANK: Mapping[RefundStatus, int] = {
    RefundStatus.PENDING: 0,
    RefundStatus.REQUIRES_ACTION: 1,
    RefundStatus.SUCCEEDED: 2,
    RefundStatus.FAILED: 3,
    RefundStatus.CANCELED: 3,
}
RETURNED = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})

# Set once by Stripe and never changed, but sometimes late: an older version may know what the newest does not show.
_SET_ONCE: Mapping[str, tuple[str, ...]] = {
    "payment_intent": ("latest_charge",),
    "charge": ("payment_intent",),
    "refund": ("charge", "payment_intent"),
}

Order = tuple[bool, int, int, bool, int, int, str]


@dataclass(frozen=True, slots=True)
class Version:
    """An object as one event showed it; ``seen`` is the event's ``created``."""

    object: StripeObject
    seen: int
    event_id: str

    @property
    def order(self) -> Order:
        """The steps of the module's description, ready to compare; only within one object."""
        match self.object:
            case PaymentIntent() as intent:
                rank = _ATTEMPT_FAILED_RANK if intent.attempt_failed else _INTENT_RANK[intent.status]
                terminal = intent.status in _TERMINAL
                return terminal, self.seen, rank, False, intent.amount_received, 0, self.event_id
            case Charge() as charge:
                rank = _CHARGE_RANK[charge.status]
                weak = charge.amount_refunded
                return False, self.seen, rank, charge.captured, charge.amount_captured, weak, self.event_id
            case Refund() as refund:
                return False, self.seen, _REFUND_RANK[refund.status], False, 0, 0, self.event_id


def newer(stored: Version, incoming: Version) -> Version:
    """Return the one that stands; the same whichever of the two came first."""
    return max(stored, incoming, key=lambda version: version.order)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of all versions of one object seen so far.

    ``since`` is the earliest event that showed it decided (paid, captured, money returned). ``sources`` holds, for
    a set-once field the newest version does not show, the newest version that does.
    """

    newest: Version
    since: int | None = None
    sources: Mapping[str, Version] = field(default_factory=dict)

    @classmethod
    def first(cls, version: Version) -> "Kept":
        return cls(version, version.seen if _is_decided(version.object) else None)

    def with_version(self, version: Version) -> "Kept":
        """Return what is kept once ``version`` is seen too; any order and any number of times, the same end."""
        newest = newer(self.newest, version)
        times = [time for time in (self.since, Kept.first(version).since) if time is not None]
        candidates = [self.newest, version, *self.sources.values()]
        return Kept(newest, min(times, default=None), _sources(newest, candidates))

    @property
    def object(self) -> StripeObject:
        """The newest version, with what older ones knew and it does not show."""
        known = {name: getattr(version.object, name) for name, version in self.sources.items()}
        return replace(self.newest.object, **known) if known else self.newest.object


def _is_decided(item: StripeObject) -> bool:
    match item:
        case PaymentIntent():
            return item.status is IntentStatus.SUCCEEDED
        case Charge():
            return item.captured
        case Refund():
            return item.status in RETURNED


def _sources(newest: Version, candidates: list[Version]) -> dict[str, Version]:
    sources: dict[str, Version] = {}
    for name in _SET_ONCE[newest.object.kind]:
        knowing = [version for version in candidates if getattr(version.object, name) is not None]
        if knowing and getattr(newest.object, name) is None:
            sources[name] = max(knowing, key=lambda version: version.order)
    return sources
