"""JSON as the old frontend's JavaScript reads it: every number a double, the last of equal keys, no order of keys."""

import json
from typing import Any


def read(text: str) -> Any:
    """Return the value JavaScript's ``JSON.parse`` would make of it."""
    return json.loads(text, parse_int=_number, parse_float=_number)


def _number(digits: str) -> float:
    return float(digits) + 0.0  # minus nought is nought


def same(one: object, other: object) -> bool:
    """Whether the two are equal in type and value; in Python alone ``True`` equals 1."""
    return canonical(one) == canonical(other)


def canonical(value: object) -> str:
    """Return one text for equal values."""
    return json.dumps(value, sort_keys=True)
