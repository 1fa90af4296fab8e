"""Which events were applied already: recorded in the same transaction as their effect."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events import Event

# Sorted, so that two replicas with overlapping groups wait for each other instead of deadlocking.
_CLAIM = text(
    """
    INSERT INTO inbox (event_id)
    SELECT event_id FROM unnest(CAST(:ids AS uuid[])) AS event_id ORDER BY event_id
    ON CONFLICT DO NOTHING
    RETURNING event_id
    """
)
_FORGET = text(
    """
    DELETE FROM inbox WHERE event_id IN (
        SELECT event_id FROM inbox WHERE received_at < now() - CAST(:retention AS interval) LIMIT 10000
    )
    """
)


async def claim(connection: AsyncConnection, events: Sequence[Event]) -> list[Event]:
    """Record the events as applied and return those that were not yet, in their order; the caller commits."""
    by_id = {event.id: event for event in events}
    claimed = set((await connection.execute(_CLAIM, {"ids": list(by_id)})).scalars().all())
    return [event for id_, event in by_id.items() if id_ in claimed]


class InboxHandler:
    """Base of handlers whose record of applied events is the inbox."""

    async def claim(self, connection: AsyncConnection, events: Sequence[Event]) -> list[Event]:
        return await claim(connection, events)


async def forget(connection: AsyncConnection, retention: timedelta) -> int:
    """Remove up to 10,000 ids older than ``retention``; return how many. The sequence guard outlives them."""
    return (await connection.execute(_FORGET, {"retention": retention})).rowcount
