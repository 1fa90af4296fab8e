"""A check of the verification: what should be, what is, and the rows behind a difference. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_ROWS = 20


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant. ``rows`` are ids of the first rows behind a difference, ``behind`` how many there are."""

    name: str
    claim: str
    expected: str
    actual: str
    passed: bool
    rows: Sequence[str] = ()
    behind: int = 0

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"rows": list(self.rows)}


def of_rows(name: str, claim: str, *, right: int, wrong: Sequence[str], nouns: str = "rows") -> Check:
    """Return a check that holds when no row is wrong."""
    behind = len(wrong)
    expected, actual = f"{right + behind:,} {nouns}", f"{right:,} {nouns}"
    return Check(name, claim, expected, actual, not behind, sorted(wrong)[:MOST_ROWS], behind)


def of_values(name: str, claim: str, expected: object, actual: object, *, rows: Iterable[str] = ()) -> Check:
    """Return a check that holds when both are equal."""
    behind = sorted(rows)
    return Check(name, claim, str(expected), str(actual), expected == actual, behind[:MOST_ROWS], len(behind))


@dataclass(slots=True)
class Findings:
    """Rows that are right, counted, and rows that are wrong, named: by invariant."""

    right: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def judge(self, name: str, row: str, *, ok: bool) -> None:
        """Take one row into account."""
        if ok:
            self.right[name] += 1
        else:
            self.wrong[name].append(row)

    def check(self, name: str, claim: str, *, nouns: str = "rows") -> Check:
        return of_rows(name, claim, right=self.right[name], wrong=self.wrong[name], nouns=nouns)
