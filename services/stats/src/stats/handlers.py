"""The message door: events are journalled, then the projection is brought up to them."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import event_log
from shared.consumer import Group
from shared.events import Event
from stats import journal, projector

TYPES = frozenset(journal.KEPT)


class JournalHandler:
    """Appends to the journal, which is also the inbox, and applies the same rows to the live projection."""

    def __init__(self, source: str) -> None:
        self._source = source

    @property
    def types(self) -> frozenset[str]:
        return TYPES

    async def claim(self, connection: AsyncConnection, events: Sequence[Event]) -> list[Event]:
        return await journal.append(connection, events)

    async def apply(self, connection: AsyncConnection, group: Group) -> None:
        numbers = await journal.numbers_of(connection, group.events)
        await projector.enter_live_generation(connection)
        changed = await projector.apply_slice(connection, numbers)
        await event_log.append(connection, self._source, [row.event() for row in changed], bulk=group.bulk)
