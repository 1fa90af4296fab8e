"""The layouts of the legacy table that are known by name, and those a file declares."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bookings_gateway.domain import DEFAULT_LAYOUT, Layout

_NEEDED = frozenset(["id", "status", "created_at", "user_id", "paid_status"])
_LISTS = frozenset(["personal", "harmless"])
_FIELDS = frozenset(field.name for field in fields(Layout))
_LOWER_CASE: dict[str, Any] = {field: column.lower() for field, column in DEFAULT_LAYOUT.columns.items()}

PRESETS: Mapping[str, Layout] = {
    "default": DEFAULT_LAYOUT,
    # Unquoted names, folded by PostgreSQL: the contact is text holding JSON, money integer, times without zone.
    "lower_case": replace(DEFAULT_LAYOUT, **_LOWER_CASE),
    # A paid booking is confirmed, and payment_status says that it is paid.
    "snake_case": Layout(
        reference="booking_reference",
        contact="contact_details",
        email="user_email",
        final_amount="payment_amount",
        payment_date=None,
        payment_method="payment_method",
        payment_reference="stripe_payment_intent_id",
        payment_status="payment_status",
        created_at="created_at",
        updated_at="updated_at",
        paid_status="confirmed",
    ),
    "flat_contact": Layout(
        reference="confirmationCode",
        contact=None,
        name="contactName",
        email="contactEmail",
        phone="contactPhone",
        final_amount="totalPrice",
        payment_date=None,
        payment_method=None,
        payment_reference="paymentIntentId",
    ),
}


def read_layout(declared: str) -> Layout:
    """Return the preset of that name, or what the TOML or JSON file of that path declares.

    A file names a preset by ``extends`` (``default`` without), and beside it the fields that differ: a column's name,
    or ``false`` where there is none; and as lists columns that tell of people (``personal``) or do not (``harmless``).
    Raises ``ValueError`` with the way out.
    """
    if declared in PRESETS:
        return PRESETS[declared]
    path = Path(declared)
    if path.suffix not in {".toml", ".json"}:
        raise ValueError(f"{declared!r} is none of {', '.join(PRESETS)}, nor a .toml or .json file")
    try:
        content = path.read_text()
        said: dict[str, Any] = tomllib.loads(content) if path.suffix == ".toml" else dict(json.loads(content))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{declared} cannot be read: {error}") from error
    return _declared(declared, said)


def _declared(path: str, said: Mapping[str, Any]) -> Layout:
    preset, differs = said.get("extends", "default"), {name: said[name] for name in said if name != "extends"}
    if preset not in PRESETS:
        raise ValueError(f"{path} extends {preset!r}, which is none of {', '.join(PRESETS)}")
    for name, column in differs.items():
        if name not in _FIELDS:
            raise ValueError(f"{path} names {name}, which is none of {', '.join(sorted(_FIELDS))}")
        if name in _LISTS:
            _require_names(path, name, column)
        elif not (isinstance(column, str) and column) and not (column is False and name not in _NEEDED):
            raise ValueError(f"{path} must name a column for {name}" + ("" if name in _NEEDED else ", or say false"))
    columns: dict[str, Any] = {
        name: tuple(column) if name in _LISTS else column or None for name, column in differs.items()
    }
    return replace(PRESETS[preset], **columns)


def _require_names(path: str, name: str, columns: object) -> None:
    if not isinstance(columns, list) or not all(isinstance(column, str) and column for column in columns):
        raise ValueError(f"{path} must say {name} as a list of columns' names")
