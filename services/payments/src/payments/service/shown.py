"""What one event shows: versions of the object inside and of those embedded in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from payments.domain import fields
from payments.domain.ordering import Content, Version
from payments.domain.reading import read_all
from payments.errors import UnreadableEvent

FETCHED = "fetched"


@dataclass(frozen=True, slots=True)
class Shown:
    """One version of an object, and what may be needed to compare it with others."""

    version: Version
    content: Content


def shown_in(event_id: str, event_type: str, envelope: Mapping[str, Any]) -> list[Shown]:
    """Return what an event shows, the object it is about first; raises :class:`UnreadableEvent`.

    ``previous_attributes`` speak of that object, not of embedded ones.
    """
    seen = envelope.get("created")
    data = fields.inner(envelope.get("data"))
    raw = data.get("object")
    if not fields.is_second(seen) or not isinstance(raw, dict):
        raise UnreadableEvent("the event has no creation time or no object")
    previous = data.get("previous_attributes")
    fetched = event_type == FETCHED
    shown = []
    for item, inside in read_all(raw, seen=seen, event_type=event_type).values():
        own = previous if inside is raw and isinstance(previous, dict) else None
        shown.append(Shown(Version(item, seen, event_id, fetched), Content(inside, own)))
    return shown
