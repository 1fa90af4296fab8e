"""Answers that still hold: while nothing has been committed to the database, the same question has the same answer.

The same snapshot is the same data, whoever writes: the legacy application, an operator, a consumer.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.statements import SNAPSHOT

_MOST_BYTES = 64 * 2**20
_SNAPSHOT = text(f"SELECT {SNAPSHOT}")


async def snapshot(connection: AsyncConnection) -> str:
    """Name what the database holds now. To be asked before the answer is made, which may then be newer, never older."""
    name: str = (await connection.execute(_SNAPSHOT)).scalar_one()
    return name


@dataclass(frozen=True, slots=True)
class Listing:
    """``body`` is a JSON array in UTF-8; ``total`` counts the matches before limit and offset."""

    body: bytes
    total: int


@dataclass(frozen=True, slots=True)
class Made:
    """A listing and the name of the snapshot it was made on."""

    snapshot: str
    listing: Listing


class Answers:
    """The answers of one snapshot, up to 64 MiB of them, in this process alone."""

    def __init__(self) -> None:
        self._snapshot = ""
        self._kept: dict[Hashable, Listing] = {}
        self._bytes = 0

    def get(self, snapshot: str, question: Hashable) -> Listing | None:
        """Return the answer that was given on this very snapshot."""
        return self._kept.get(question) if snapshot == self._snapshot else None

    def last(self, question: Hashable) -> Made | None:
        """Return the answer that holds as long as the database is as it was, with the name of how it was."""
        listing = self.get(self._snapshot, question)
        return Made(self._snapshot, listing) if listing else None

    def keep(self, snapshot: str, question: Hashable, answer: Listing) -> None:
        """Remember an answer, and forget those of any other snapshot: that one will not come again."""
        if snapshot != self._snapshot:
            self._snapshot, self._kept, self._bytes = snapshot, {}, 0
        if question not in self._kept and self._bytes + len(answer.body) <= _MOST_BYTES:
            self._kept[question] = answer
            self._bytes += len(answer.body)
