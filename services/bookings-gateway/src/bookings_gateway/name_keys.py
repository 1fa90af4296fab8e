"""Where people stand who are called what somebody typed: ranges of the keys that users are sorted by. Pure.

``name_key`` is the name as written, ``last_key`` the surname in front; so a first name, a surname, or both in either
order are the beginning of a key, and the index that sorts finds the first few however many there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from bookings_gateway.search_text import fold

_END = "\U0010ffff"
_AFTER_A_BLANK = "!"
_MOST = 60


@dataclass(frozen=True, slots=True)
class Range:
    """Keys from ``low`` up to but without ``high`` that have ``within`` somewhere behind."""

    low: str
    high: str
    within: str = ""


def exact(typed: str) -> list[Range]:
    """Whole words at the beginning of a key."""
    return [_whole(" ".join(words))] if (words := fold(typed).split()) else []


def begun(typed: str) -> list[Range]:
    """A key that begins with all of it; or a surname that begins with one end of it, and a first name with the rest."""
    words = fold(typed).split()
    if not words:
        return []
    ranges = [_beginning(" ".join(words))]
    if len(words) > 1:
        ranges += [
            _beginning(words[-1], f" {' '.join(words[:-1])}"),
            _beginning(words[0], f" {' '.join(words[1:])}"),
        ]
    return ranges


def mailbox(local: str) -> list[Range]:
    """Addresses that begin with all of it."""
    return [_beginning(local)]


def similar(typed: str, meant: Mapping[str, Sequence[str]]) -> list[Range]:
    """Whole words, each as it stands or as one of those it may have meant."""
    return list(islice(_meanings(typed, meant), _MOST))


def _meanings(typed: str, meant: Mapping[str, Sequence[str]]) -> Iterator[Range]:
    for words in product(*([word, *meant.get(word, ())] for word in fold(typed).split())):
        yield _whole(" ".join(words))


def _whole(key: str) -> Range:
    return Range(key, key + _AFTER_A_BLANK)


def _beginning(key: str, within: str = "") -> Range:
    return Range(key, key + _END, within)
