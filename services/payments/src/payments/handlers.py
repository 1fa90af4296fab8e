"""The message door: bookings come in, payments that find theirs go out."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from payments.service.match_bookings import match_bookings
from payments.service.remember_bookings import remember_bookings
from shared import contracts, event_log, inbox
from shared.consumer import Group
from shared.events import Event

TYPES = frozenset({"booking.created", "booking.updated", "booking.deleted"})


class BookingsHandler:
    """Learns what bookings are called, from every version of a booking in any order."""

    def __init__(self, source: str) -> None:
        self._source = source

    @property
    def types(self) -> frozenset[str]:
        return TYPES

    async def claim(self, connection: AsyncConnection, events: Sequence[Event]) -> list[Event]:
        return await inbox.claim(connection, events)

    async def apply(self, connection: AsyncConnection, group: Group) -> None:
        told = [(event, contracts.read(event)) for event in group.events]
        await remember_bookings(connection, told)
        news = await match_bookings(connection, [booking for _, booking in told])
        await event_log.append(connection, self._source, news, bulk=group.bulk)
