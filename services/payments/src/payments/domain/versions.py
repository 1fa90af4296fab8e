"""What is kept of all versions of one object, so that the next one, whichever it is, finds what it needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from payments.domain.objects import (
    Charge,
    CheckoutSession,
    Dispute,
    IntentStatus,
    PaymentIntent,
    Refund,
    RefundStatus,
    StripeObject,
)
from payments.domain.ordering import SET_ONCE, TERMINAL, Contents, Standing, Version, foremost, standing

RETURNED = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})


class Doubt(StrEnum):
    """Why an object is to be read from the API."""

    TIE = "tie"
    TWO_ENDS = "two_ends"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of all versions of one object seen so far.

    ``rivals`` are the others that only evidence and what comes after it tell from ``newest``; ``certain`` is false
    where not even evidence does. ``since`` is the earliest event that showed it decided (paid, captured, money
    returned), ``fetched_since`` the earliest such answer of the API: only an upper bound. ``sources`` holds, for a
    set-once field the newest version does not show, a version that does.
    """

    newest: Version
    rivals: tuple[Version, ...] = ()
    certain: bool = True
    since: int | None = None
    fetched_since: int | None = None
    sources: Mapping[str, Version] = field(default_factory=dict)

    @classmethod
    def first(cls, version: Version) -> "Kept":
        at = _decided_at(version)
        return cls(version, fetched_since=at) if version.fetched else cls(version, since=at)

    def with_version(self, version: Version, contents: Contents) -> "Kept":
        """Return what is kept once ``version`` is seen too; any order and any number of times, the same end.

        ``contents`` are those of ``version`` and of the ``tied`` ones, by event id.
        """
        stands, rivals = self._decide(version, contents)
        first = Kept.first(version)
        return Kept(
            stands.version,
            rivals,
            stands.certain,
            _earliest(self.since, first.since),
            _earliest(self.fetched_since, first.fetched_since),
            _sources(stands.version, [self.newest, *self.rivals, version, *self.sources.values()]),
        )

    def _decide(self, version: Version, contents: Contents) -> tuple[Standing, tuple[Version, ...]]:
        """Return what stands now and what else might have; one that is passed over for good decides nothing anew."""
        if version.position < self.newest.position:
            return Standing(self.newest, self.certain), self.rivals
        known = {each.event_id: each for each in (self.newest, *self.rivals, version)}
        left = foremost(list(known.values()))
        stands = standing(left, contents)
        others = [each for each in left if each is not stands.version]
        return stands, tuple(sorted(others, key=lambda each: each.event_id))

    def tied_with(self, version: Version) -> list[str]:
        """Return the ids of events whose contents are needed to tell ``version`` from what is kept."""
        tied = [self.newest, *self.rivals] if version.position == self.newest.position else []
        return [each.event_id for each in tied if each.event_id != version.event_id]

    @property
    def object(self) -> StripeObject:
        """The newest version, with what older ones knew and it does not show."""
        known = {name: getattr(version.object, name) for name, version in self.sources.items()}
        return replace(self.newest.object, **known) if known else self.newest.object

    @property
    def decided_since(self) -> int | None:
        """When it was decided: by the event that told, else not later than an answer of the API showed."""
        return self.fetched_since if self.since is None else self.since


def doubt(before: Kept | None, version: Version, after: Kept) -> Doubt | None:
    """Return why the object is to be read from the API now that ``version`` turned ``before`` into ``after``."""
    if before and not version.fetched and _ends_differ(before.newest.object, version.object):
        return Doubt.TWO_ENDS
    return Doubt.TIE if not after.certain and version.position == after.newest.position else None


def _ends_differ(one: StripeObject, other: StripeObject) -> bool:
    if not isinstance(one, PaymentIntent) or not isinstance(other, PaymentIntent):
        return False
    return {one.status, other.status} == TERMINAL


def _decided_at(version: Version) -> int | None:
    """Return when this version shows it decided, if it does: a fetched charge may have been since it was made."""
    item = version.object
    if not _is_decided(item):
        return None
    return item.created if version.fetched and isinstance(item, Charge) else version.seen


def _is_decided(item: StripeObject) -> bool:
    match item:
        case PaymentIntent():
            return item.status is IntentStatus.SUCCEEDED
        case Charge():
            return item.captured
        case Refund():
            return item.status in RETURNED
        case CheckoutSession():
            return item.is_settled
        case Dispute():
            return False


def _earliest(*times: int | None) -> int | None:
    return min((time for time in times if time is not None), default=None)


def _sources(newest: Version, candidates: Iterable[Version]) -> dict[str, Version]:
    sources: dict[str, Version] = {}
    known: Sequence[Version] = list(candidates)
    for name in SET_ONCE[newest.object.kind]:
        knowing = [version for version in known if getattr(version.object, name) is not None]
        if knowing and getattr(newest.object, name) is None:
            sources[name] = max(knowing, key=lambda version: version.order)
    return sources
