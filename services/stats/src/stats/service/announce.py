"""Announcing later: ``user_totals.changed`` for the users whose totals differ from what was announced, once each.

Those a switch leaves differing, and those bulk events touch: an import brings a user's bookings, links and payments one
after the other, and telling what their totals are in between would cost more than everything else.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import event_log
from stats import projector, totals

PAGE = 500
QUIET = timedelta(seconds=3)
LONGEST = timedelta(minutes=5)

# Rows belong to a generation and count once that one is live. Locked rows are another process's.
_TAKE = text(
    """
    DELETE FROM public.to_announce WHERE (schema, user_id) IN (
        SELECT schema, user_id FROM public.to_announce
        WHERE schema = (SELECT schema FROM public.generation WHERE live)
        ORDER BY user_id LIMIT :page FOR UPDATE SKIP LOCKED
    ) RETURNING user_id
    """
)
_ADD = text(
    """
    INSERT INTO public.to_announce (schema, user_id)
    SELECT :schema, user_id FROM unnest(CAST(:users AS uuid[])) AS user_id ON CONFLICT DO NOTHING
    """
)

_ADD_TO_LIVE = text(
    """
    INSERT INTO public.to_announce (schema, user_id)
    SELECT g.schema, t.user_id FROM public.generation g CROSS JOIN unnest(CAST(:users AS uuid[])) AS t (user_id)
    WHERE g.live ON CONFLICT (schema, user_id) DO UPDATE SET touched_at = excluded.touched_at
    """
)
# An import brings a user's bookings over its whole length: announced as they come, each is told again and again.
_WAITING = text(
    """
    SELECT count(*) AS users, coalesce(max(touched_at) < clock_timestamp() - CAST(:quiet AS interval)
                                       OR min(noted_at) < clock_timestamp() - CAST(:longest AS interval), false) AS due
    FROM to_announce t JOIN generation g USING (schema) WHERE g.live
    """
)
_ANYBODY = text("SELECT EXISTS (SELECT FROM to_announce t JOIN generation g USING (schema) WHERE g.live)")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many users wait, and whether it is time for them: bulk events touch none of them any more, or they have
    waited for long.
    """

    users: int
    is_due: bool


async def look_at(connection: AsyncConnection, schema: str, users: Collection[UUID]) -> None:
    """Note users to be looked at once ``schema`` is live."""
    if users:
        await connection.execute(_ADD, {"schema": schema, "users": sorted(users)})


async def look_at_soon(connection: AsyncConnection, users: Collection[UUID]) -> None:
    """Note users to be looked at in the live generation, whose apply lock the caller holds."""
    if users:
        await connection.execute(_ADD_TO_LIVE, {"users": sorted(users)})


async def announce_changes(engine: AsyncEngine, source: str, *, say: Callable[[str], None] = lambda _: None) -> int:
    """Work off the list in short transactions and return how many events were recorded, saying so on the way.

    Striking off and recording commit together: no event is doubled or missing, whoever dies. Several may run.
    """
    announced = 0
    while await _anybody_waits(engine):
        async with engine.begin() as connection:
            await projector.enter_live(connection)
            users = set((await connection.execute(_TAKE, {"page": PAGE})).scalars())
            changed = await totals.announce(connection, users)
            await event_log.append(connection, source, [row.event() for row in changed], bulk=True)
        announced += len(changed)
        say(f"{announced:,} users told")
        if len(users) < PAGE:  # the rest, if any, is in another process's hands
            break
    return announced


async def waiting(engine: AsyncEngine) -> Waiting:
    """Return who is to be looked at in the live generation."""
    async with engine.connect() as connection:
        row = (await connection.execute(_WAITING, {"quiet": QUIET, "longest": LONGEST})).one()
    return Waiting(row.users, is_due=row.due)


async def _anybody_waits(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return bool((await connection.execute(_ANYBODY)).scalar_one())
