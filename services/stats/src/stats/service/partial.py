"""Rebuild one person in place: everything their bookings went through, from its first event, and nothing else.

A range of events is never applied again to totals. Instead the bookings that are, or ever were, the person's are found,
with the payments that ever named them; their whole history goes through the projection's own statements in a schema
of its own; and the result takes the place of what the live generation says of them. One transaction: a kill leaves
nothing behind. Merges are taken as the live generation has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import event_log
from stats import projector
from stats.projector import LAST_SEQ, Position, Window
from stats.service import compare, generations, runs

_ATTEMPTS = 5
_MOST_ROUNDS = 20
_BEFORE, _LATER = Position("1", LAST_SEQ), Position("2", LAST_SEQ)

_MEMBERS = text(
    """
    WITH person AS (
        SELECT coalesce((SELECT m.canonical FROM merge_fact m WHERE m.user_id = :user_id),
                        CAST(:user_id AS uuid)) AS canonical
    )
    SELECT canonical FROM person UNION SELECT m.user_id FROM person JOIN merge_fact m USING (canonical)
    """
)
_NUMBER = text("SELECT 'generation_' || nextval('generation_number')")
_FOUND = """
    INSERT INTO concerned (booking_id)
    SELECT booking_id FROM {live}.booking_fact WHERE user_id = ANY(CAST(:members AS uuid[]))
    UNION
    SELECT booking_id FROM {live}.payment_fact WHERE user_id = ANY(CAST(:members AS uuid[])) AND booking_id IS NOT NULL
    UNION
    SELECT booking_id FROM {live}.activity WHERE user_id = ANY(CAST(:members AS uuid[])) AND booking_id IS NOT NULL
    UNION
    SELECT booking_id FROM public.journal WHERE type = 'user.booking_linked' AND user_id = ANY(CAST(:members AS uuid[]))
    ON CONFLICT DO NOTHING
"""
# Payments that ever named one of the bookings, and the bookings those payments ever named: until nothing is added.
_CLOSE = text(
    """
    INSERT INTO concerned (booking_id)
    SELECT DISTINCT j.booking_id FROM public.journal j
    WHERE j.received IS NOT NULL AND j.booking_id IS NOT NULL AND j.subject IN (
        SELECT subject FROM public.journal
        WHERE received IS NOT NULL AND booking_id IN (SELECT booking_id FROM concerned))
    ON CONFLICT DO NOTHING
    """
)
_COPIED = """event_id, type, subject, sequence, time, received_at, booking_id, user_id, merged_into, currency, amount,
    received, refunded, disputed, created_at"""
# `since` is a snapshot older than the first copy: what it does not show is new, or was copied already.
_COPY = text(
    f"""
    INSERT INTO journal (seq, xid, {_COPIED})
    SELECT seq, CAST(CAST(:xid AS text) AS xid8), {_COPIED} FROM public.journal j
    WHERE (CAST(:since AS text) IS NULL
           OR (xid >= pg_snapshot_xmin(CAST(CAST(:since AS text) AS pg_snapshot))
               AND NOT pg_visible_in_snapshot(xid, CAST(CAST(:since AS text) AS pg_snapshot))))
      AND (booking_id IN (SELECT booking_id FROM concerned)
           OR (booking_id IS NULL AND user_id = ANY(CAST(:members AS uuid[])))
           OR (received IS NOT NULL AND subject IN (
                SELECT subject FROM public.journal
                WHERE received IS NOT NULL AND booking_id IN (SELECT booking_id FROM concerned)))
           OR (type = 'user.booking_linked' AND user_id = ANY(CAST(:members AS uuid[]))))
    ON CONFLICT (event_id) DO NOTHING
    RETURNING booking_id
    """  # noqa: S608 - column names of ours
)
_STRANGER = text(
    """
    SELECT 1 FROM journal
    WHERE booking_id IS NOT NULL AND booking_id NOT IN (SELECT booking_id FROM concerned) LIMIT 1
    """
)
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


class _Grown(Exception):
    """A booking became the person's while we were at it: begin again."""


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
    Raises :class:`RebuildRunning`.
    """
    async with runs.holding_lock(engine):
        for _ in range(_ATTEMPTS):
            try:
                async with engine.begin() as connection:
                    return await _rebuild(connection, source, user, operator=operator, dry_run=dry_run)
            except _Grown:
                continue
        raise _Grown(f"bookings of user {user} keep changing hands; try again")


async def _rebuild(
    connection: AsyncConnection, source: str, user: UUID, *, operator: str, dry_run: bool
) -> UserRebuilt:
    live = await generations.live(connection)
    schema: str = (await connection.execute(_NUMBER)).scalar_one()
    members = await _project_history(connection, schema, live, user)
    await projector.lock_applies(connection)
    await _project_news(connection, members)
    found = await compare.differences(connection, live, schema, members)
    changed: Sequence[projector.ChangedTotals] = []
    if found and not dry_run:
        changed = await _replace(connection, schema, live, members)
        await event_log.append(connection, source, [row.event() for row in changed])
    await connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    run = await runs.begin(connection, purpose="user", schema=schema, operator=operator, rate=None, as_of=None)
    await runs.finish(connection, run, "done", differences=len(found))
    return UserRebuilt(found, bool(found) and not dry_run, len(changed))


async def _project_history(connection: AsyncConnection, schema: str, live: str, user: UUID) -> list[UUID]:
    """Make the schema, copy into it all the person's bookings went through, and project that; return the members."""
    await generations.create_tables(connection, schema)
    await connection.execute(text(f"CREATE TABLE {schema}.journal (LIKE public.journal INCLUDING ALL)"))
    await connection.execute(text(f'CREATE TABLE {schema}.concerned (booking_id text COLLATE "C" PRIMARY KEY)'))
    await connection.execute(text(f"CREATE TABLE {schema}.seen (snapshot text)"))
    await connection.execute(text(f"INSERT INTO {schema}.merge_fact SELECT * FROM {live}.merge_fact"))  # noqa: S608
    await projector.enter_many(connection, live)
    members = sorted((await connection.execute(_MEMBERS, {"user_id": user})).scalars())
    await projector.enter_many(connection, schema)
    await connection.execute(text("INSERT INTO seen SELECT CAST(pg_current_snapshot() AS text)"))
    await connection.execute(text(_FOUND.format(live=live)), {"members": members})
    for _ in range(_MOST_ROUNDS):
        if not (await connection.execute(_CLOSE)).rowcount:
            break
    await connection.execute(_COPY, {"xid": _BEFORE.xid, "since": None, "members": members})
    await _refuse_growth(connection)
    statements = ("bookings", "payments", "activity")
    await projector.apply(connection, Window(Position(), _BEFORE), statements=statements, report=False)
    for index in generations.indexes():
        await connection.execute(text(index.statement))
    return members


async def _project_news(connection: AsyncConnection, members: list[UUID]) -> None:
    """Add what was journalled meanwhile; the caller holds the apply lock."""
    since = (await connection.execute(text("SELECT snapshot FROM seen"))).scalar_one()
    await connection.execute(_COPY, {"xid": _LATER.xid, "since": since, "members": members})
    await _refuse_growth(connection)
    statements = ("bookings", "payments", "follow_payments", "activity", "follow_activity")
    await projector.apply(connection, Window(_BEFORE, _LATER), statements=statements, report=False)


async def _refuse_growth(connection: AsyncConnection) -> None:
    """Raise if a booking came along whose earlier history was not copied."""
    if (await connection.execute(_STRANGER)).one_or_none():
        raise _Grown


async def _replace(
    connection: AsyncConnection, schema: str, live: str, members: list[UUID]
) -> Sequence[projector.ChangedTotals]:
    await projector.enter_many(connection, schema)
    rows = await connection.execute(text(_TOUCHED.format(live=live)), {"members": members})
    touched = {user for user in rows.scalars() if user is not None}
    for statement in _REPLACE:
        parameters = {"members": members} if ":members" in statement else {}
        await connection.execute(text(statement.format(live=live)), parameters)
    await projector.enter_few(connection, live)
    return await projector.announce(connection, touched)
