"""The message door: bookings, whose they are and who counts as whom come in; payments that find theirs go out."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from payments import models
from payments.service.match_bookings import match_bookings, remember_names
from payments.service.record_history import record_history
from payments.service.remember_bookings import remember_bookings
from shared import contracts, event_log
from shared.consumer import Group
from shared.contracts import BookingLinkSnapshot, BookingSnapshot, UserErasedSnapshot, UserMergeSnapshot
from shared.events import Event
from shared.inbox import InboxHandler
from shared.turns import in_turns

T = TypeVar("T")

_OF_USERS = ("user.booking_linked", "user.merged", "user.unmerged", "user.erased")
TYPES = frozenset({"booking.created", "booking.updated", "booking.deleted", *_OF_USERS})
BINDINGS = ("booking.*", *_OF_USERS)


class BookingsHandler(InboxHandler):
    """Learns what bookings are called, whose they are and who counts as whom, from every version in any order."""

    def __init__(self, source: str) -> None:
        self._source = source

    @property
    def types(self) -> frozenset[str]:
        return TYPES

    async def apply(self, connection: AsyncConnection, group: Group) -> bool:
        told = [(event, contracts.read(event)) async for event in in_turns(group.events)]
        bookings = [(event, data) for event, data in told if isinstance(data, BookingSnapshot)]
        links = _newest(
            (data.booking_id, event, data.user_id) for event, data in told if isinstance(data, BookingLinkSnapshot)
        )
        await models.find_by_key(connection)
        await self._learn_users(connection, told)
        await remember_bookings(connection, bookings)
        learned = await remember_names(connection, [booking for _, booking in bookings], links)
        # History first: a payment it proves is never told as its booking's without being told as migrated.
        recorded, news = await record_history(connection, bookings)
        news += await match_bookings(connection, learned, known=recorded)
        await event_log.append(connection, self._source, news, bulk=group.bulk)
        return bool(news)

    async def _learn_users(self, connection: AsyncConnection, told: Sequence[tuple[Event, object]]) -> None:
        merges = (
            (data.user_id, event, data.merged_into) for event, data in told if isinstance(data, UserMergeSnapshot)
        )
        await models.add_merges(connection, _newest(merges))
        await models.add_erasures(connection, [data for _, data in told if isinstance(data, UserErasedSnapshot)])


def _newest(told: Iterable[tuple[str, Event, T]]) -> dict[str, tuple[int, T]]:
    """Return sequence and what was told by key, of the newest event of each."""
    newest: dict[str, tuple[int, T]] = {}
    for key, event, data in told:
        if key not in newest or newest[key][0] < event.sequence:
            newest[key] = (event.sequence, data)
    return newest
