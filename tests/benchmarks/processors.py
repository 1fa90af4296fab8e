"""Processor time of whole groups of processes, because several services share a machine's few processors."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import psutil

Pids = Callable[[], Iterable[int]]


@dataclass
class Meter:
    """Reads what each named group of processes spent since the meter was made."""

    groups: Mapping[str, Pids]
    _before: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._before = self._read()
        psutil.cpu_percent()

    def spent(self) -> dict[str, float]:
        """Return seconds by group."""
        return {name: seconds - self._before[name] for name, seconds in self._read().items()}

    def busy(self) -> float:
        """Return how busy all of the machine's processors were, other people's work included."""
        return psutil.cpu_percent() / 100

    def _read(self) -> dict[str, float]:
        return {name: sum(map(_seconds, pids())) for name, pids in self.groups.items()}


def _seconds(pid: int) -> float:
    """Of a process and of those of its children that ended: PostgreSQL has one for each connection."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + ended)
