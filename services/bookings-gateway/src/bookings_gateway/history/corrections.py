"""What an operator says a row should have said: refused where it could not mean anything."""

import json
from collections.abc import Mapping
from typing import Any

from bookings_gateway.history.errors import NotCorrectable
from bookings_gateway.history.source import Source


def as_json(columns: Mapping[str, Any], source: Source) -> str:
    """Return the columns as JSON the database can hold. Raises :class:`NotCorrectable`, saying why.

    The id is what the row is known by: with another, one booking would be told as the other.
    """
    if source.table.layout.id in columns:
        raise NotCorrectable(f"{source.table.layout.id} is what the row is known by; it cannot be corrected.")
    if unknown := [name for name in columns if name not in source.columns]:
        known = ", ".join(name for name in source.columns if name != source.table.layout.id)
        raise NotCorrectable(f"The table has no column {', '.join(map(repr, unknown))}. It has {known}.")
    if not all(_is_storable(value) for value in columns.values()):
        raise NotCorrectable("No text can hold the character NUL, or half of one.")
    try:
        return json.dumps(columns, allow_nan=False)
    except ValueError:
        raise NotCorrectable("NaN and Infinity are no numbers; say null.") from None


def _is_storable(value: object) -> bool:
    match value:
        case str():
            return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
        case dict():
            return all(_is_storable(each) for pair in value.items() for each in pair)
        case list():
            return all(map(_is_storable, value))
    return True
