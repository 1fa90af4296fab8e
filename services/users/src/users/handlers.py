"""The message door: bookings come in, people and links go out."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import contracts, event_log
from shared.consumer import Group
from shared.inbox import InboxHandler
from users.service import Observation, link_bookings, register_people

TYPES = frozenset({"booking.created", "booking.updated", "booking.deleted"})


class BookingsHandler(InboxHandler):
    """Registers who booked and links the booking, for every version of a booking in any order."""

    def __init__(self, source: str) -> None:
        self._source = source

    @property
    def types(self) -> frozenset[str]:
        return TYPES

    async def apply(self, connection: AsyncConnection, group: Group) -> None:
        observations = [Observation.of(event, contracts.read(event)) for event in group.events]
        people = await register_people(connection, observations)
        links = await link_bookings(connection, observations, people.ids)
        await event_log.append(connection, self._source, [*people.news, *links], bulk=group.bulk)
