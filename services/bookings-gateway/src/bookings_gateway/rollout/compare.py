"""Old and new answer side by side, by type: key order is free, keys may only be added from the declared list. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ADDED = frozenset(["customerName", "customerEmail", "user", "paymentStatus"])
ROW = "(row)"
_LONGEST_ID = 100


class Kind(StrEnum):
    """How two answers differ in a field."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    TYPE = "type"
    VALUE = "value"
    ORDER = "order"
    ERROR = "error"  # no answer at all


@dataclass(frozen=True, slots=True)
class Difference:
    """``old`` and ``new`` are the values as one text each; they are personal data and are stored hashed."""

    booking_id: str
    field: str
    kind: Kind
    old: str
    new: str


def is_same(old: str, new: str) -> bool:
    """Whether a new row is the old one to the letter and then only additions: as it should be, and quick to tell.

    Where it is not, :func:`differences` may still find that both say the same.
    """
    if not new.startswith(old[:-1] + ","):
        return False
    added = json.loads("{" + new[len(old) :])
    return added.keys() <= ADDED and not any(f'"{key}":' in old for key in added)


def id_of(row: str, id_column: str) -> str:
    """Return the id in a row."""
    return _id(_read(row), id_column)


def differences(old: Sequence[str], new: Sequence[str], id_column: str) -> Iterator[Difference]:
    """Yield how the new rows, JSON objects each, differ from the old ones; nothing when they say the same."""
    old_rows, new_rows = [_read(row) for row in old], [_read(row) for row in new]
    by_id = {_id(row, id_column): row for row in new_rows}
    for row in old_rows:
        id_ = _id(row, id_column)
        if id_ in by_id:
            yield from _of_row(id_, row, by_id.pop(id_))
        else:
            yield Difference(id_, ROW, Kind.MISSING, "", "")
    for id_ in by_id:
        yield Difference(id_, ROW, Kind.UNEXPECTED, "", "")
    if not by_id and [_id(row, id_column) for row in old_rows] != [_id(row, id_column) for row in new_rows]:
        yield Difference("", ROW, Kind.ORDER, "", "")


def _of_row(id_: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for field, value in old.items():
        if field not in new:
            yield Difference(id_, field, Kind.MISSING, _text(value), "")
        elif _text(value) != _text(new[field]):
            kind = Kind.VALUE if type(value) is type(new[field]) else Kind.TYPE
            yield Difference(id_, field, kind, _text(value), _text(new[field]))
    for field in new.keys() - old.keys() - ADDED:
        yield Difference(id_, field, Kind.UNEXPECTED, "", _text(new[field]))


def _read(row: str) -> dict[str, Any]:
    """Read as JavaScript does: every number a double, so that 1 and 1.0 are the same, and minus nought is nought."""
    read: dict[str, Any] = json.loads(row, parse_int=_number, parse_float=_number)
    return read


def _number(digits: str) -> float:
    return float(digits) + 0.0


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _id(row: Mapping[str, Any], column: str) -> str:
    return str(row.get(column))[:_LONGEST_ID]
