"""How long live requests take beside what they usually take, by a service's own histogram. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_SHARE = 0.95
_FEWEST = 5  # requests, for a figure that may stop an import
_FEWEST_COMPARED = 20  # … that is compared with the usual one
_FEWEST_USUAL = 100
_FLOOR_MS = 20.0  # quicker than this is quick enough, whatever is usual
_LOOKS = 3  # that many in a row are no accident
_STANDING = 10  # looks while the import stood still: then it was not the import, and this is what is usual

Buckets = Mapping[float, float]


@dataclass(slots=True)
class Live:
    """The requests of one route, look by look. What they took before the move is usual, or while the import stood.

    ``times`` the usual, or the floor, is too long; 0 is never.
    """

    times: float
    usual_ms: float = 0.0
    _before: Buckets = field(default_factory=dict)
    _above: int = 0

    @property
    def limit_ms(self) -> float:
        return max(_FLOOR_MS, self.times * self.usual_ms)

    def take(self, buckets: Buckets) -> float | None:
        """Take in how many requests there ever were up to each bound; return the p95 of those since, in ms."""
        before, self._before = self._before, buckets
        if not before:
            self.usual_ms = _p95(buckets, fewest=_FEWEST_USUAL) or 0.0
            return None
        since = {bound: count - before.get(bound, 0.0) for bound, count in buckets.items()}
        self._compare(_p95(since, fewest=_FEWEST_COMPARED))
        return _p95(since, fewest=_FEWEST)

    @property
    def is_slow(self) -> bool:
        """Whether the last looks all found them too slow."""
        return self._above >= _LOOKS

    def _compare(self, p95: float | None) -> None:
        is_above = bool(self.times) and p95 is not None and p95 > self.limit_ms
        self._above = self._above + 1 if is_above else 0
        if p95 is not None and self._above == _LOOKS + _STANDING:
            self.usual_ms, self._above = p95, 0


def _p95(buckets: Buckets, *, fewest: int) -> float | None:
    """The time 95 % of the requests stayed under, in ms, as if they were spread evenly between two bounds."""
    requests = buckets.get(float("inf"), 0.0)
    if requests < fewest:
        return None
    lower, below = 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count >= _SHARE * requests:
            within = (_SHARE * requests - below) / (count - below) if count > below else 1.0
            return 1000 * (bound if bound == float("inf") else lower + (bound - lower) * within)
        lower, below = bound, count
    return None
