"""V10: the old answer and the new one about every booking, streamed side by side from one snapshot."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice, zip_longest

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.history.checks import MOST_ROWS, Check
from bookings_gateway.history.move import History
from bookings_gateway.history.source import Source
from bookings_gateway.listing import Filter, Queries
from bookings_gateway.rollout.compare import Kind, differences, id_of, is_same
from bookings_gateway.rollout.old_path import old_pages

_PAGE = 2_000
# With so many rows of one answer that have no counterpart in the other, there is nothing to learn from the rest.
_MOST_APART = 10_000

_ONE_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
_UTC = text("SELECT set_config('TimeZone', 'UTC', true)")  # in which times are read quickest


@dataclass(slots=True)
class Answers:
    """What two streams of bookings say of each other. Both are newest first, so a row usually meets its like at once.

    ``named``: the first that differ, by id and key; what stands there is nobody's business.
    """

    id_column: str
    old: int = 0
    new: int = 0
    different: int = 0
    named: list[str] = field(default_factory=list)
    _old: dict[str, str] = field(default_factory=dict)
    _new: dict[str, str] = field(default_factory=dict)

    @property
    def apart(self) -> int:
        """How many rows only one of the streams has shown so far."""
        return len(self._old) + len(self._new)

    def take(self, old: Sequence[str], new: Sequence[str]) -> None:
        """Compare the next page of each; a row whose counterpart has not come yet waits for it."""
        self.old += len(old)
        self.new += len(new)
        unlike = [pair for pair in zip_longest(old, new) if not (pair[0] and pair[1] and is_same(*pair))]
        self._old |= {id_of(row, self.id_column): row for row, _ in unlike if row}
        self._new |= {id_of(row, self.id_column): row for _, row in unlike if row}
        met = sorted(self._old.keys() & self._new.keys())
        self._judge([self._old.pop(id_) for id_ in met], [self._new.pop(id_) for id_ in met])

    def check(self) -> Check:
        """Return the outcome; what never met its counterpart is missing, or too much."""
        self._judge(list(self._old.values()), list(self._new.values()))
        passed = not self.different and self.old == self.new
        claim = "the old answer is the new one, key by key, for every booking"
        expected, actual = f"{self.old:,} bookings", f"{self.new - self.different:,} bookings"
        return Check("V10", claim, expected, actual, passed, self.named, self.different)

    def _judge(self, old: Sequence[str], new: Sequence[str]) -> None:
        """Take differences into account, but for the order: rows are put in one here."""
        found = [each for each in differences(old, new, self.id_column) if each.kind is not Kind.ORDER]
        self.different += len({each.booking_id for each in found})
        names = (f"{each.booking_id} {each.field}" for each in found)
        self.named += islice(names, MOST_ROWS - len(self.named))


async def check_answers(connection: AsyncConnection, history: History, source: Source) -> Check:
    """Compare all bookings as the admin's listing gives them, the old way and the new; the connection is fresh."""
    await connection.execute(_ONE_SNAPSHOT)
    await connection.execute(_UTC)
    answers = Answers(source.table.layout.id)
    query = Queries(source.table, currency=history.currency, zone=history.zone.key).listing(Filter())
    new = await connection.stream(query)
    async with aclosing(old_pages(connection, source.table, history.zone, rows=_PAGE)) as pages:
        async for old in pages:
            answers.take(old, _texts(await new.fetchmany(_PAGE)))
            if answers.apart > _MOST_APART:
                break
    while answers.apart <= _MOST_APART and (more := _texts(await new.fetchmany(_PAGE))):
        answers.take([], more)
    await new.close()
    return answers.check()


def _texts(rows: Sequence[Row[tuple[bytes]]]) -> list[str]:
    return [row.body.decode() for row in rows]
