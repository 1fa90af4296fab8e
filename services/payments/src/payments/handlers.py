"""The message door: bookings and whose they are come in, payments that find theirs go out."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from payments.service.match_bookings import match_bookings
from payments.service.record_history import record_history
from payments.service.remember_bookings import remember_bookings
from shared import contracts, event_log
from shared.consumer import Group
from shared.contracts import BookingLinkSnapshot, BookingSnapshot
from shared.events import Event
from shared.inbox import InboxHandler

_LINKED = "user.booking_linked"
TYPES = frozenset({"booking.created", "booking.updated", "booking.deleted", _LINKED})


class BookingsHandler(InboxHandler):
    """Learns what bookings are called and whose they are, from every version in any order."""

    def __init__(self, source: str) -> None:
        self._source = source

    @property
    def types(self) -> frozenset[str]:
        return TYPES

    async def apply(self, connection: AsyncConnection, group: Group) -> None:
        told = [(event, contracts.read(event)) for event in group.events]
        bookings = [(event, data) for event, data in told if isinstance(data, BookingSnapshot)]
        links = _newest([(event, data) for event, data in told if isinstance(data, BookingLinkSnapshot)])
        await remember_bookings(connection, bookings)
        news = await match_bookings(connection, [booking for _, booking in bookings], links)
        news += await record_history(connection, bookings)
        await event_log.append(connection, self._source, news, bulk=group.bulk)


def _newest(told: Sequence[tuple[Event, BookingLinkSnapshot]]) -> dict[str, tuple[int, str]]:
    """Return sequence and user by booking, of the newest link of each."""
    links: dict[str, tuple[int, str]] = {}
    for event, link in told:
        links[link.booking_id] = max(links.get(link.booking_id, (0, "")), (event.sequence, link.user_id))
    return links
