"""One person's whole history, projected in a schema of its own by the projection's own statements.

The bookings that are, or ever were, the person's are found, with the payments that ever named them; all these went
through is copied and projected. Merges are taken as the live generation has them.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from stats import projector
from stats.errors import PersonChanging
from stats.projector import LAST_SEQ, Position, Window
from stats.service import generations

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


async def project_history(connection: AsyncConnection, schema: str, live: str, user: UUID) -> list[UUID]:
    """Make the schema, copy into it all the person's bookings went through, and project that.

    Returns the members: the person and everybody merged into them. Raises :class:`PersonChanging`.
    """
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


async def project_news(connection: AsyncConnection, members: list[UUID]) -> None:
    """Add what was journalled meanwhile; the caller holds the apply lock. Raises :class:`PersonChanging`."""
    since = (await connection.execute(text("SELECT snapshot FROM seen"))).scalar_one()
    await connection.execute(_COPY, {"xid": _LATER.xid, "since": since, "members": members})
    await _refuse_growth(connection)
    statements = ("bookings", "payments", "follow_payments", "activity", "follow_activity")
    await projector.apply(connection, Window(_BEFORE, _LATER), statements=statements, report=False)


async def _refuse_growth(connection: AsyncConnection) -> None:
    """Raise if a booking came along whose earlier history was not copied."""
    if (await connection.execute(_STRANGER)).one_or_none():
        raise PersonChanging("its bookings keep changing hands; nothing was replaced, try again")
