"""Which version of an object stands. Stripe's ``created`` has whole seconds and arrival order means nothing.

Versions are compared step by step; the first step that tells them apart decides:

====  ==================  =============================================================================================
step  what                which stands
====  ==================  =============================================================================================
1     first seen          it alone
2     the end             a terminal PaymentIntent (``succeeded``, ``canceled``) above one that is not, whatever the
                          times; two different ends cannot be: step 3 decides and the object is read from the API
3     ``created``         the later event's; a fetched object's is the second in which it was asked for
4     rank                the status further on in the object's life (tables below)
5     monotone amounts    the larger: an intent's ``amount_received``, a charge's ``amount_captured``, the number of a
                          dispute's ``balance_transactions``
6     evidence            the one whose ``previous_attributes`` are the other's values (its successor), either way round
7     ``amount_refunded`` the larger (weak: it may fall, so the refunded total never rests on it alone)
8     event id            a fetched object, else the greater id: arbitrary, but always the same. Unless the contents are
                          the same the object is read from the API, and the answer comes through the same steps
====  ==================  =============================================================================================

Steps 2 to 5 order versions totally, so what they pass over is passed over for good. Steps 6 to 8 look at *all* that
are equal so far: C may follow A only by way of B, and B may come last. So the outcome depends on the set of versions
and on nothing else. A dispute leaves ``won`` or ``lost`` only by a later second, because nothing ranks above them; a
refund goes ``succeeded`` → ``failed`` in the same second or later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from payments.domain.fields import Raw
from payments.domain.objects import (
    Charge,
    ChargeStatus,
    CheckoutSession,
    Dispute,
    DisputeStatus,
    IntentStatus,
    PaymentIntent,
    Refund,
    RefundStatus,
    SessionPayment,
    SessionStatus,
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
TERMINAL = frozenset({IntentStatus.SUCCEEDED, IntentStatus.CANCELED})
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
_DISPUTE_RANK: Mapping[DisputeStatus, int] = {
    DisputeStatus.WARNING_NEEDS_RESPONSE: 0,
    DisputeStatus.WARNING_UNDER_REVIEW: 1,
    DisputeStatus.NEEDS_RESPONSE: 2,
    DisputeStatus.UNDER_REVIEW: 3,
    DisputeStatus.APPEAL_NEEDS_RESPONSE: 4,
    DisputeStatus.APPEAL_UNDER_REVIEW: 5,
    DisputeStatus.WARNING_CLOSED: 6,
    DisputeStatus.WON: 6,
    DisputeStatus.LOST: 6,
    DisputeStatus.PREVENTED: 6,
}
_SESSION_RANK: Mapping[SessionStatus, int] = {
    SessionStatus.OPEN: 0,
    SessionStatus.EXPIRED: 1,
    SessionStatus.COMPLETE: 1,
}
_SESSION_PAYMENT_RANK: Mapping[SessionPayment, int] = {
    SessionPayment.UNPAID: 0,
    SessionPayment.PAID: 2,
    SessionPayment.NO_PAYMENT_REQUIRED: 2,
}
_FAILED_LATER_RANK = 1

# Set once by Stripe and never changed, but sometimes late: an older version may know what the newest does not show.
SET_ONCE: Mapping[str, tuple[str, ...]] = {
    "payment_intent": ("latest_charge",),
    "charge": ("payment_intent", "balance_transaction", "fee", "method", "card_brand", "card_last4"),
    "refund": ("charge", "payment_intent"),
    "dispute": ("charge", "payment_intent"),
    "checkout_session": ("payment_intent", "failed_at"),
}

Position = tuple[bool, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Version:
    """An object as one event showed it; ``seen`` is the event's ``created``.

    ``fetched`` says that the API showed it, in answer to a question sent at ``seen``.
    """

    object: StripeObject
    seen: int
    event_id: str
    fetched: bool = False

    @property
    def position(self) -> Position:
        """Steps 2 to 5, ready to compare; only within one object."""
        terminal, rank, second_rank, amount = _progress(self.object)
        return terminal, self.seen, rank, second_rank, amount

    @property
    def order(self) -> tuple[Position, str]:
        """An order of all versions that agrees with the position; what it says beyond is arbitrary."""
        return self.position, self.event_id


@dataclass(frozen=True, slots=True)
class Content:
    """What step 6 looks at: the object as it was, and which of its values the event says were different before."""

    raw: Raw
    previous: Raw | None = None


Contents = Mapping[str, Content]


@dataclass(frozen=True, slots=True)
class Standing:
    """The version that stands; ``certain`` is false where only step 8 could tell."""

    version: Version
    certain: bool


def standing(versions: Sequence[Version], contents: Contents) -> Standing:
    """Return the version of one object that stands among these, by the table above; a function of the set.

    ``contents`` is by event id; where one is missing there is no evidence. At least one version is needed.
    """
    rivals = foremost(versions)
    if len(rivals) == 1:
        return Standing(rivals[0], certain=True)
    left = _unfollowed(rivals, contents)
    refunded = max(map(_weak, left))
    left = [version for version in left if _weak(version) == refunded]
    winner = max(left, key=lambda version: (version.fetched, version.event_id))
    return Standing(winner, winner.fetched or all(_same(version.object, winner.object) for version in left))


def foremost(versions: Sequence[Version]) -> list[Version]:
    """Return those that steps 2 to 5 do not pass over."""
    first = max(version.position for version in versions)
    return [version for version in versions if version.position == first]


def _progress(item: StripeObject) -> tuple[bool, int, int, int]:
    """Return whether it is at its end for good, two ranks and the amount that only grows."""
    match item:
        case PaymentIntent():
            rank = _ATTEMPT_FAILED_RANK if item.attempt_failed else _INTENT_RANK[item.status]
            return item.status in TERMINAL, rank, 0, item.amount_received
        case Charge():
            return False, _CHARGE_RANK[item.status], int(item.captured), item.amount_captured
        case Refund():
            return False, _REFUND_RANK[item.status], 0, 0
        case Dispute():
            return False, _DISPUTE_RANK[item.status], 0, len(item.movements or ())
        case CheckoutSession():
            paid = _SESSION_PAYMENT_RANK[item.payment_status]
            return False, _SESSION_RANK[item.status], paid or _FAILED_LATER_RANK * (item.failed_at is not None), 0


def _unfollowed(rivals: Sequence[Version], contents: Contents) -> list[Version]:
    """Return those no other follows by evidence; of several that follow each other in a circle, all or none."""
    after = {version.event_id: _reachable(version, rivals, contents) for version in rivals}
    return [
        version
        for version in rivals
        if all(version.event_id in after[follower] for follower in after[version.event_id])
    ]


def _reachable(start: Version, rivals: Sequence[Version], contents: Contents) -> set[str]:
    """Return the event ids of all that follow ``start``, directly or by way of others."""
    found: set[str] = set()
    ahead = [start.event_id]
    while ahead:
        here = ahead.pop()
        steps = {other.event_id for other in rivals if _follows(contents.get(other.event_id), contents.get(here))}
        ahead += steps - found
        found |= steps
    return found - {start.event_id}


def _follows(later: Content | None, earlier: Content | None) -> bool:
    return bool(later and earlier and later.previous and _shows(earlier.raw, later.previous))


def _shows(raw: object, expected: object) -> bool:
    """Say whether ``expected``, which may name only some of the fields, is what ``raw`` shows; null is absent."""
    if isinstance(expected, dict):
        return isinstance(raw, dict) and all(_shows(raw.get(name), value) for name, value in expected.items())
    return raw == expected


def _weak(version: Version) -> int:
    return version.object.amount_refunded if isinstance(version.object, Charge) else 0


def _same(one: StripeObject, other: StripeObject) -> bool:
    """Say whether two are the same but for what is set once: that is filled in whichever stands."""
    names = [each.name for each in fields(one) if each.name not in SET_ONCE[one.kind]]
    return all(getattr(one, name) == getattr(other, name) for name in names)
