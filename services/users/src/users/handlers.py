"""The message door: bookings come in, people and links go out."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import contracts, event_log
from shared.consumer import Group
from shared.inbox import InboxHandler
from users.service.forget import forget_placeholders
from users.service.link_bookings import link_bookings
from users.service.observation import Observation, attribute
from users.service.register_people import register_people

TYPES = frozenset({"booking.created", "booking.updated", "booking.deleted"})


class BookingsHandler(InboxHandler):
    """Registers who booked and links the booking, for every version of a booking in any order."""

    def __init__(self, source: str, *, phone_region: str) -> None:
        self._source = source
        self._region = phone_region

    @property
    def types(self) -> frozenset[str]:
        return TYPES

    async def apply(self, connection: AsyncConnection, group: Group) -> bool:
        seen = [Observation.of(event, contracts.read(event)) for event in group.events]
        observations = await attribute(connection, seen)
        if not observations:
            return False
        people = await register_people(connection, observations, region=self._region)
        links = await link_bookings(connection, observations, people.ids)
        news = [*people.news, *links]
        await event_log.append(connection, self._source, news, bulk=group.bulk)
        forgotten = await forget_placeholders(connection, observations)
        await event_log.append(connection, self._source, forgotten, bulk=group.bulk)
        return bool(news or forgotten)
