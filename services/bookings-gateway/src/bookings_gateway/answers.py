"""Answers that still hold: while nothing has been committed to the database, the same question has the same answer.

A snapshot says which transactions are over, in 64-bit numbers that one server never gives out again. The same snapshot
is the same data, whoever writes: the legacy application, an operator, a consumer. A standby that took over may not know
the last numbers and give them out anew, which is why the server's start is part of the name.
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""

from collections.abc import Hashable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_MOST_BYTES = 64 * 2**20
_SNAPSHOT = text("SELECT concat(pg_current_snapshot(), ' ', pg_postmaster_start_time())")


async def snapshot(connection: AsyncConnection) -> str:
    """Name what the database holds now. To be asked before the answer is made, which may then be newer, never older."""
    name: str = (await connection.execute(_SNAPSHOT)).scalar_one()
    return name


@dataclass(frozen=True, slots=True)
class Listing:
    """``body`` is a JSON array in UTF-8; ``total`` counts the matches before limit and offset."""

    body: bytes
    total: int


class Answers:
    """The answers of one snapshot, up to 64 MiB of them, in this process alone."""

    def __init__(self) -> None:
        self._snapshot = ""
        self._kept: dict[Hashable, Listing] = {}
        self._bytes = 0

    def get(self, snapshot: str, question: Hashable) -> Listing | None:
        """Return the answer that was given on this very snapshot."""
        return self._kept.get(question) if snapshot == self._snapshot else None

    def keep(self, snapshot: str, question: Hashable, answer: Listing) -> None:
        """Remember an answer, and forget those of any other snapshot: that one will not come again."""
        if snapshot != self._snapshot:
            self._snapshot, self._kept, self._bytes = snapshot, {}, 0
        if self._bytes + len(answer.body) <= _MOST_BYTES:
            self._kept[question] = answer
            self._bytes += len(answer.body)
