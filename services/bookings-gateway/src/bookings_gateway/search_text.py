"""What is found by which words. Pure: the same rules make the words of a row and of what somebody types.

Text is folded (case and accents gone) and cut at blanks into chunks. A chunk gives its runs of letters and of digits,
and itself without punctuation, so ``O'Brien`` and ``BK-2026-0042`` are found whole, begun, and by their parts. A whole
e-mail address begins with an ``@``, and letters are parted from digits, so that the beginning of a surname is not the
beginning of a hundred thousand addresses. A phone number gives its last digits, read backwards: whatever stands in
front of them, a prefix finds it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_LONGEST_WORD = 60
_MINUS = "\u2212"
_MOST_WORDS = 60
_KEY_LENGTH = 80
_PHONE_DIGITS = 9  # behind country code and leading zero, in every format of one number
_PHONE = re.compile(r"[+(\d][\d\s()./-]{4,}")
# As it is pasted out of a page, a signature or a link: a word in front, an extension behind.
_PASTED_PHONE = re.compile(
    r"(?:(?:tel|telephone|phone|mob|mobile)\b)?[\s:.]*(?P<number>[+(\d][\d\s()./-]{4,}?)"
    r"(?:[\s;,]*(?:ext|extn|extension|x)[\s.:=]*\d{1,6})?",
    re.IGNORECASE,
)
_FEWEST_DIGITS = 5
_BEGUN = 3  # shorter words are not taken for the beginning of longer ones: half of all rows would match
_RUN = re.compile(r"[^\W\d_]+|\d+")
_CODE = re.compile(r"[\d_]")
_NAME_WORD = re.compile(r"[^\W\d_]{3,24}")


def fold(value: str) -> str:
    """Return text without case and accents, for comparing and sorting."""
    decomposed = unicodedata.normalize("NFKD", value.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def sort_key(*parts: str | None) -> str:
    """Return what text is sorted by; where there is none, what comes first."""
    return fold(" ".join(part.strip() for part in parts if part)).strip()[:_KEY_LENGTH]


def words(*, texts: Iterable[str | None], phones: Iterable[str | None] = ()) -> str:
    """Return the words a row is found by, parted by blanks."""
    found = [word for value in texts if value for chunk in fold(value).split() for word in _whole_and_parts(chunk)]
    found += [word for phone in phones if phone and (word := phone_word(phone))]
    return " ".join(list(dict.fromkeys(found))[:_MOST_WORDS])


def name_words(*texts: str | None) -> str:
    """Return the words a mistyped one may have meant, parted by blanks."""
    return " ".join(dict.fromkeys(word for value in texts if value for word in _NAME_WORD.findall(fold(value))))


def phone_word(value: str) -> str | None:
    """Return the last digits of a number, backwards; ``None`` for what is none."""
    digits = re.sub(r"\D", "", fold(_unpasted(value)))
    return f"tel{digits[-_PHONE_DIGITS:][::-1]}" if len(digits) >= _FEWEST_DIGITS else None


def _unpasted(value: str) -> str:
    """Text without characters nobody sees, with plain dashes; of a phone number, what is one."""
    seen = "".join(
        "-" if unicodedata.category(character) == "Pd" or character == _MINUS else character
        for character in value
        if unicodedata.category(character) != "Cf"
    ).strip()
    phone = _PASTED_PHONE.fullmatch(seen)
    return phone["number"] if phone else seen


def _whole_and_parts(chunk: str) -> Iterator[str]:
    if whole := _whole(chunk):
        yield whole
    yield from _parts(chunk)


def _whole(chunk: str) -> str:
    local, _, domain = chunk.rpartition("@")
    return f"@{_joined(local)}@{_joined(domain)}"[:_LONGEST_WORD] if _joined(local) else _joined(domain)


def _parts(chunk: str) -> list[str]:
    """The runs of letters and digits in a chunk; of an e-mail address those before the @, and the domain as one."""
    local, _, domain = chunk.rpartition("@")
    parts = [run[:_LONGEST_WORD] for run in _RUN.findall(local or domain)]
    return [*parts, _joined(domain)] if local and _joined(domain) else parts


def _joined(chunk: str) -> str:
    return "".join(re.findall(r"[^\W_]+", chunk))[:_LONGEST_WORD]


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody typed, as conditions on the words of rows (PostgreSQL's ``tsquery``)."""

    typed: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "typed", _unpasted(self.typed))

    @property
    def _chunks(self) -> list[str]:
        return [chunk for chunk in fold(self.typed).split() if _joined(chunk)]

    @property
    def is_empty(self) -> bool:
        return not self._chunks

    @property
    def name(self) -> str:
        """What a whole name or address would be sorted by."""
        return sort_key(*self.typed.split())

    @property
    def is_phone(self) -> bool:
        return bool(_PHONE.fullmatch(self.typed.strip()))

    @property
    def code(self) -> str | None:
        """What may be an id, as it was typed."""
        return self.typed.strip() if re.fullmatch(r"\s*[\w-]{4,200}\s*", self.typed) else None

    @property
    def misspelt(self) -> list[str]:
        """The words that may be mistyped; those in a code, such as a PaymentIntent's, are none."""
        chunks = [chunk for chunk in self._chunks if "@" in chunk or not _CODE.search(chunk)]
        return [part for chunk in chunks for part in _parts(chunk) if _NAME_WORD.fullmatch(part)]

    def exact(self) -> str:
        """Every word as it stands."""
        return self._with_phone(" & ".join(map(_as_it_stands, self._chunks)))

    def begun(self) -> str:
        """Every word, or a longer one that begins like it; of an e-mail address, the whole begun."""
        chunks = [_beginning(_whole(chunk)) if "@" in self.typed else _begun_chunk(chunk) for chunk in self._chunks]
        return self._with_phone(" & ".join(chunks), begun=True)

    def being_typed(self) -> str:
        """Every word as it stands, but the last may go on: one beginning is all the index goes through."""
        *before, last = self._chunks
        ends = {_whole(last)} if "@" in last else {_whole(last), _parts(last)[-1]}
        chunk = _either(last, lambda word: _beginning(word) if word in ends else _lexeme(word))
        return self._with_phone(" & ".join([*map(_as_it_stands, before), chunk]), begun=True)

    def similar(self, meant: Mapping[str, Sequence[str]]) -> str:
        """Every word, a longer one, or one of those it may have meant."""
        chunks = []
        for chunk in self._chunks:
            parts = [" | ".join([_beginning(part), *map(_lexeme, meant.get(part, ()))]) for part in _parts(chunk)]
            chunks.append(" & ".join(f"({part})" for part in parts))
        return " & ".join(chunks)

    @property
    def mailbox(self) -> str | None:
        """What stands before the @ of an address, with it, where one is all that was typed."""
        local, at, _ = fold(self.typed).rpartition("@")
        return f"{local}{at}" if _joined(local) and len(self._chunks) == 1 else None

    def any_domain(self) -> str:
        """The address that was typed, at whatever domain."""
        word = f"@{_joined(self.mailbox or '')}@"[:_LONGEST_WORD]
        return f"{_lexeme(word)}:*"

    def _with_phone(self, condition: str, *, begun: bool = False) -> str:
        word = phone_word(self.typed) if self.is_phone else None
        if word is None:
            return condition
        return f"{_lexeme(word)}{':*' if begun else ''} | ({condition})"


def _as_it_stands(chunk: str) -> str:
    return _either(chunk, _lexeme)


def _begun_chunk(chunk: str) -> str:
    return _either(chunk, _beginning)


def _either(chunk: str, term: Callable[[str], str]) -> str:
    """The chunk as a whole, or all of its parts."""
    whole, parts = term(_whole(chunk)), " & ".join(map(term, _parts(chunk)))
    return f"({whole} | ({parts}))" if parts not in ("", whole) else whole


def _lexeme(word: str) -> str:
    return f"'{word}'"


def _beginning(word: str) -> str:
    return f"'{word}':*" if len(word) >= _BEGUN else f"'{word}'"
