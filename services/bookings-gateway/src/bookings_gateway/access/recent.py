"""Who was let in a moment ago, so that a page of many requests looks its session up once.

A revocation takes as long as an entry is good, at most. Only who was found is kept, so nobody can fill this up.
"""

import time
from enum import Enum

from bookings_gateway.access.actor import Actor

_MOST = 1000


class Kind(Enum):
    """What somebody came with. One must not pass for the other: a write by token needs no CSRF token."""

    COOKIE = "cookie"
    BEARER = "bearer"


class Recent:
    """Actors by the hash of what they came with, each for ``seconds``; with 0 none is kept. In this process alone."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._found: dict[tuple[Kind, bytes], tuple[Actor, float]] = {}

    def get(self, kind: Kind, key: bytes) -> Actor | None:
        """Return who this is, if that was found out just now."""
        actor, until = self._found.get((kind, key), (None, 0.0))
        return actor if time.monotonic() < until else None

    def keep(self, kind: Kind, key: bytes, actor: Actor) -> None:
        """Remember who this is."""
        if len(self._found) >= _MOST:
            self._found.clear()
        self._found[kind, key] = actor, time.monotonic() + self._seconds

    def drop(self, kind: Kind, key: bytes) -> None:
        """Look up again: it has ended here."""
        self._found.pop((kind, key), None)
