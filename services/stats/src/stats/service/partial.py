"""Rebuild one person in place: everything their bookings went through, from its first event, and nothing else.

A range of events is never applied again to totals. Instead the person's whole history is projected beside the live
generation, and the result takes the place of what that says of them. One transaction: a kill leaves nothing behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import event_log
from stats import projector, totals
from stats.errors import PersonChanging
from stats.service import compare, generations, runs
from stats.service.lock import holding_lock
from stats.service.person_history import project_history, project_news

_ATTEMPTS = 5

_TOUCHED = """
    SELECT user_id FROM {live}.booking_fact WHERE booking_id IN (SELECT booking_id FROM concerned)
    UNION SELECT user_id FROM booking_fact UNION SELECT unnest(CAST(:members AS uuid[]))
"""
# What is taken away from others by the difference, and set for the person as it came out.
_REPLACE = [
    """
    WITH difference AS (
        SELECT user_id, currency, sum(bookings) AS bookings, sum(spent) AS spent, sum(paid) AS paid,
               sum(refunded) AS refunded, sum(disputed) AS disputed
        FROM (
            SELECT user_id, currency, 1 AS bookings, coalesce(amount, 0) AS spent, 0 AS paid, 0 AS refunded,
                   0 AS disputed
            FROM booking_fact WHERE present
            UNION ALL
            SELECT user_id, currency, -1, -coalesce(amount, 0), 0, 0, 0 FROM {live}.booking_fact
            WHERE present AND booking_id IN (SELECT booking_id FROM concerned)
            UNION ALL
            SELECT user_id, currency, 0, 0, received, refunded, disputed FROM payment_fact
            UNION ALL
            SELECT user_id, currency, 0, 0, -received, -refunded, -disputed FROM {live}.payment_fact
            WHERE booking_id IN (SELECT booking_id FROM concerned)
               OR payment_id IN (SELECT payment_id FROM payment_fact)
        ) AS contribution
        WHERE user_id IS NOT NULL AND user_id <> ALL(CAST(:members AS uuid[]))
        GROUP BY user_id, currency
    )
    INSERT INTO {live}.currency_totals AS t (user_id, currency, bookings, spent, paid, refunded, disputed)
    SELECT user_id, currency, bookings, spent, paid, refunded, disputed FROM difference
    ON CONFLICT (user_id, currency) DO UPDATE SET
        bookings = t.bookings + excluded.bookings, spent = t.spent + excluded.spent, paid = t.paid + excluded.paid,
        refunded = t.refunded + excluded.refunded, disputed = t.disputed + excluded.disputed
    """,
    "DELETE FROM {live}.currency_totals WHERE user_id = ANY(CAST(:members AS uuid[]))",
    """
    INSERT INTO {live}.currency_totals
    SELECT * FROM currency_totals WHERE user_id = ANY(CAST(:members AS uuid[]))
    """,
    """
    DELETE FROM {live}.payment_fact WHERE booking_id IN (SELECT booking_id FROM concerned)
        OR payment_id IN (SELECT payment_id FROM payment_fact)
    """,
    "INSERT INTO {live}.payment_fact SELECT * FROM payment_fact",
    "DELETE FROM {live}.booking_fact WHERE booking_id IN (SELECT booking_id FROM concerned)",
    "INSERT INTO {live}.booking_fact SELECT * FROM booking_fact",
    """
    DELETE FROM {live}.activity WHERE booking_id IN (SELECT booking_id FROM concerned)
        OR user_id = ANY(CAST(:members AS uuid[])) OR event_id IN (SELECT event_id FROM activity)
    """,
    "INSERT INTO {live}.activity SELECT * FROM activity",
]


@dataclass(frozen=True, slots=True)
class UserRebuilt:
    """What differed, by user (live, rebuilt), and what was done about it."""

    differences: Mapping[UUID, tuple[compare.Described, compare.Described]]
    replaced: bool
    announced: int


async def rebuild_user(
    engine: AsyncEngine, source: str, user: UUID, *, operator: str, dry_run: bool = False
) -> UserRebuilt:
    """Recompute one person and everybody merged into them, and replace what differs.

    Live events wait while the result takes its place: milliseconds, or seconds for a person of many thousand bookings.
    Raises :class:`RebuildRunning`, and :class:`PersonChanging` when the person's bookings change hands again and again.
    """
    async with holding_lock(engine):
        for _ in range(_ATTEMPTS - 1):
            try:
                return await _attempt(engine, source, user, operator=operator, dry_run=dry_run)
            except PersonChanging:
                continue
        return await _attempt(engine, source, user, operator=operator, dry_run=dry_run)


async def _attempt(engine: AsyncEngine, source: str, user: UUID, *, operator: str, dry_run: bool) -> UserRebuilt:
    async with engine.begin() as connection:
        live = await generations.live(connection)
        schema = await generations.next_name(connection)
        members = await project_history(connection, schema, live, user)
        await projector.lock_applies(connection)
        await project_news(connection, members)
        found = await compare.differences(connection, live, schema, members)
        changed: Sequence[totals.ChangedTotals] = []
        if found and not dry_run:
            changed = await _replace(connection, schema, live, members)
            await event_log.append(connection, source, [row.event() for row in changed])
        await connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        await runs.record(connection, purpose="user", schema=schema, operator=operator, differences=len(found))
    return UserRebuilt(found, bool(found) and not dry_run, len(changed))


async def _replace(
    connection: AsyncConnection, schema: str, live: str, members: list[UUID]
) -> Sequence[totals.ChangedTotals]:
    await projector.enter_many(connection, schema)
    rows = await connection.execute(text(_TOUCHED.format(live=live)), {"members": members})
    touched = {user for user in rows.scalars() if user is not None}
    for statement in _REPLACE:
        parameters = {"members": members} if ":members" in statement else {}
        await connection.execute(text(statement.format(live=live)), parameters)
    await projector.enter_few(connection, live)
    return await totals.announce(connection, touched)
