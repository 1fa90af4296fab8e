"""Single fields of Stripe's objects, read with tolerance for every API version since 2020 and none for guesses.

Inside a parsed body an object is a ``dict`` and a list a ``list``, and nothing else is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from payments.errors import UnreadableEvent

Raw = Mapping[str, Any]

_LATEST = 253_402_300_800  # the year 10000: beyond it a time cannot be a datetime
_LONGEST_WORD = 200


def own_id(raw: Raw) -> str:
    """Return the object's id. Raises :class:`UnreadableEvent`, as everything here that returns no ``None``."""
    id_ = word(raw.get("id"))
    if id_ is None:
        raise UnreadableEvent("the object has no usable id")
    return id_


def reference(raw: Raw, name: str) -> str | None:
    """Return the id in a field that holds an id or the expanded object."""
    value = raw.get(name)
    id_ = word(value.get("id") if isinstance(value, dict) else value)
    if value is not None and id_ is None:
        raise UnreadableEvent(f"{name} is neither an id nor an object")
    return id_


def items(raw: Raw, name: str) -> Sequence[object] | None:
    """Return what a field lists, be it a list object or a plain array; ``None`` when it is not shown."""
    value = raw.get(name)
    if isinstance(value, dict):
        value = value.get("data")
    return value if isinstance(value, list) else None


def word(value: object) -> str | None:
    """Return a value that can stand in a text column and be somebody's key, else nothing."""
    usable = isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= _LONGEST_WORD
    return str(value).strip() if usable else None


def minor(raw: Raw, name: str, default: int | None = None) -> int:
    """Return a non-negative amount; ``default`` when it is null or absent."""
    value = raw.get(name)
    if value is None and default is not None:
        return default
    if not is_whole(value) or not 0 <= value < 2**63:
        raise UnreadableEvent(f"{name} is no amount in minor units")
    return value


def created(raw: Raw, seen: int) -> int:
    """Return when the object was created, or ``seen`` where it does not say."""
    value = raw.get("created")
    return value if is_second(value) else seen


def is_second(value: object) -> TypeGuard[int]:
    """Say whether a value is a time in unix seconds."""
    return is_whole(value) and 0 <= value < _LATEST


def is_whole(value: object) -> TypeGuard[int]:
    """Say whether a value is an integer (a boolean is not)."""
    return isinstance(value, int) and not isinstance(value, bool)


def currency(raw: Raw) -> str:
    """Return the upper-case ISO code."""
    value = raw.get("currency")
    if not isinstance(value, str) or len(value) != 3 or not value.isascii() or not value.isalpha():
        raise UnreadableEvent("currency is no ISO code")
    return value.upper()


def inner(raw: object, *names: str) -> Raw:
    """Return the object some steps inside another; an empty one where a step is missing."""
    for name in names:
        raw = raw.get(name) if isinstance(raw, dict) else None
    return raw if isinstance(raw, dict) else {}
