"""Which kind of contact a row has: exactly one. Pure."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from shared.emails import normalise_email


class Contact(StrEnum):
    """``usable`` rows are linked by their e-mail; the others, by what stands in its place, to a placeholder."""

    USABLE = "usable"
    ENCODED_TWICE = "usable, encoded twice"
    NULL = "null"
    NOT_AN_OBJECT = "not an object"
    EMPTY = "empty object"
    NO_EMAIL = "no e-mail"
    BLANK_EMAIL = "blank e-mail"
    UNUSABLE_EMAIL = "unusable e-mail"


USABLE = frozenset({Contact.USABLE, Contact.ENCODED_TWICE})


def contact_kind(raw: object, email: str | None, written: Mapping[str, Any], *, is_text: bool) -> Contact:
    """Say of which kind a contact is: ``raw`` as stored, ``email`` as read from it, ``written`` its object if any.

    ``is_text`` says that the column is text, where JSON inside a string is the rule.
    """
    raw = _decoded(raw) if is_text else raw
    if normalise_email(email):
        return Contact.ENCODED_TWICE if isinstance(raw, str) else Contact.USABLE
    if raw is None and not written:
        return Contact.NULL
    if not written:
        return Contact.EMPTY if _decoded(raw) == {} else Contact.NOT_AN_OBJECT
    if written.get("email") is None:
        return Contact.NO_EMAIL
    return Contact.UNUSABLE_EMAIL if email else Contact.BLANK_EMAIL


def _decoded(raw: object) -> object:
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw
