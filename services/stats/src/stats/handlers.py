"""The message door: events are journalled, then the projection is brought up to them."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import event_log
from shared.consumer import Group
from shared.events import Event
from stats import journal, projector, totals
from stats.service.announce import look_at_soon

TYPES = frozenset(journal.KEPT)


class JournalHandler:
    """Appends to the journal, which is also the inbox, and applies the same rows to the live generation."""

    def __init__(self, source: str) -> None:
        self._source = source

    @property
    def types(self) -> frozenset[str]:
        return TYPES

    async def claim(self, connection: AsyncConnection, events: Sequence[Event]) -> list[Event]:
        return await journal.append(connection, events)

    async def apply(self, connection: AsyncConnection, group: Group) -> bool:
        window = await projector.enter_live(connection)
        touched = await projector.apply(connection, window, types={event.type for event in group.events})
        if group.bulk:
            await look_at_soon(connection, touched)
            return False
        changed = await totals.announce(connection, touched)
        await event_log.append(connection, self._source, [row.event() for row in changed])
        return bool(changed)
