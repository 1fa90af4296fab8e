"""Apply events as the consumer would: claim and apply in one transaction per group."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.consumer import Group, Handler
from shared.events import Event


async def apply(engine: AsyncEngine, handler: Handler, events: Sequence[Event], *, group: int = 500) -> None:
    """Commit the events in groups of ``group``, in their order."""
    for start in range(0, len(events), group):
        async with engine.begin() as connection:
            fresh = await handler.claim(connection, events[start : start + group])
            if fresh:
                await handler.apply(connection, Group(fresh))
