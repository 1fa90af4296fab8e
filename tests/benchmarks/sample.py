"""Timing: a rate, what it cost this process, and which part of the time a histogram saw."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time

from prometheus_client import REGISTRY


@dataclass(frozen=True)
class Sample:
    """``count`` events in ``seconds``; ``observed`` are seconds and counts that histograms gained meanwhile."""

    count: int
    seconds: float
    cpu_seconds: float
    observed: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def cpu(self) -> float:
        """Processor time of this process, µs per event."""
        return self.cpu_seconds / self.count * 1e6

    def share(self, histogram: str) -> float:
        """The part of the time ``histogram`` was observing."""
        return self.observed[histogram][0] / self.seconds

    def mean(self, histogram: str) -> float:
        """What ``histogram`` observed on average."""
        total, count = self.observed[histogram]
        return total / count if count else 0.0


async def timed(work: Awaitable[int], *histograms: str) -> Sample:
    """Await ``work``, which returns how many events it moved."""
    before = {name: _reading(name) for name in histograms}
    started, cpu = perf_counter(), process_time()
    count = await work
    seconds, cpu_seconds = perf_counter() - started, process_time() - cpu
    observed = {
        name: (_reading(name)[0] - total, _reading(name)[1] - observations)
        for name, (total, observations) in before.items()
    }
    return Sample(count, seconds, cpu_seconds, observed)


def typical(samples: Sequence[Sample]) -> Sample:
    """The sample of the median rate: rounds take turns, so that a busy moment hits every row alike."""
    return sorted(samples, key=lambda sample: sample.rate)[len(samples) // 2]


def _reading(histogram: str) -> tuple[float, float]:
    return (
        REGISTRY.get_sample_value(f"{histogram}_sum") or 0.0,
        REGISTRY.get_sample_value(f"{histogram}_count") or 0.0,
    )
