"""What a walk over Stripe's account found."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Missed:
    """Something Stripe has that was not here: an event, or an object that differed."""

    id: str
    type: str
    created: datetime | None


@dataclass(slots=True, kw_only=True)
class Report:
    """``events`` never arrived; ``objects`` differed from what is stored though no event told.

    In a dry run the events were not applied, so the objects they tell of are listed as well.
    """

    since: datetime
    until: datetime
    dry_run: bool
    events_seen: int = 0
    objects_seen: int = 0
    events: list[Missed] = field(default_factory=list)
    objects: list[Missed] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    foreign: int = 0

    @property
    def missed(self) -> int:
        return len(self.events) + len(self.objects)

    def summary(self) -> dict[str, object]:
        """Return counts and ids to keep."""
        return {
            "events_seen": self.events_seen,
            "objects_seen": self.objects_seen,
            "events_missed": dict(Counter(each.type for each in self.events)),
            "objects_missed": dict(Counter(each.type for each in self.objects)),
            "gone": self.gone,
            "unreadable": self.unreadable,
            "foreign": self.foreign,
        }
