"""What bookings are called and whose they are."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Payments look for a booking's names and bookings look for payments that name them, each unseen by the other until
# commit. Processing holds this shared and a booking with new names alone, so one of the two always sees the other.
MATCHING = 7_301_955_101
_SHARE_MATCHING = text("SELECT pg_advisory_xact_lock_shared(:key)")
_OWN_MATCHING = text("SELECT pg_advisory_xact_lock(:key)")
# PostgreSQL takes comparing hundreds of names with those of every payment for cheap; by the index it is. And it keeps a
# plan made for a table as small as it was, when an import has made it a thousand times larger: so these statements look
# rows up one by one or by a list of keys, and leave it no join to choose.
_BY_KEY = text("SELECT set_config('enable_seqscan', 'off', true)")

# A name two bookings share belongs to the lower id: arbitrary, but always the same. Links are looked up one by one.
_KNOWN = text(
    """
    SELECT n.key, n.booking_id, (SELECT l.user_id FROM booking_link l WHERE l.booking_id = n.booking_id) AS user_id
    FROM (
        SELECT key, min(booking_id) AS booking_id FROM booking_key WHERE key = ANY(CAST(:keys AS text[])) GROUP BY key
        UNION ALL
        SELECT NULL, unnest(CAST(:bookings AS text[]))
    ) n
    """
)
_ADD_KEYS = text(
    """
    INSERT INTO booking_key (key, booking_id)
    SELECT key, booking_id FROM unnest(CAST(:keys AS text[]), CAST(:bookings AS text[])) AS k (key, booking_id)
    ORDER BY key, booking_id
    ON CONFLICT DO NOTHING
    RETURNING key
    """
)
# The newest link wins whatever order links come in.
_ADD_LINKS = text(
    """
    INSERT INTO booking_link (booking_id, user_id, sequence)
    SELECT booking_id, user_id, sequence
    FROM unnest(CAST(:bookings AS text[]), CAST(:users AS text[]), CAST(:sequences AS bigint[]))
        AS l (booking_id, user_id, sequence)
    ORDER BY booking_id
    ON CONFLICT (booking_id) DO UPDATE SET user_id = excluded.user_id, sequence = excluded.sequence
    WHERE booking_link.sequence < excluded.sequence
    RETURNING booking_id
    """
)


async def find_by_key(connection: AsyncConnection) -> None:
    """Have the statements of the caller's transaction find rows by an index, never by reading a table."""
    await connection.execute(_BY_KEY)


async def share_matching(connection: AsyncConnection) -> None:
    """Keep bookings from being given new names until the caller's transaction ends."""
    await connection.execute(_SHARE_MATCHING, {"key": MATCHING})


async def own_matching(connection: AsyncConnection) -> None:
    """Keep payments from being changed by Stripe's events until the caller's transaction ends."""
    await connection.execute(_OWN_MATCHING, {"key": MATCHING})


async def bookings_known(
    connection: AsyncConnection, keys: Iterable[str], *, also: Iterable[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the booking of each key that names one, and the user of each of these and of the bookings ``also`` named.

    Hold the matching lock.
    """
    wanted = {"keys": sorted(set(keys)), "bookings": sorted(set(also))}
    rows = (await connection.execute(_KNOWN, wanted)).all() if any(wanted.values()) else []
    by_key = {row.key: row.booking_id for row in rows if row.key is not None}
    return by_key, {row.booking_id: row.user_id for row in rows if row.user_id is not None}


async def add_booking_keys(connection: AsyncConnection, names: Iterable[tuple[str, str]]) -> Sequence[str]:
    """Remember (key, booking id) pairs; return the keys of those that are new."""
    pairs = sorted(set(names))
    columns = {"keys": [key for key, _ in pairs], "bookings": [booking for _, booking in pairs]}
    return (await connection.execute(_ADD_KEYS, columns)).scalars().all()


async def add_links(connection: AsyncConnection, links: Mapping[str, tuple[int, str]]) -> Sequence[str]:
    """Remember whose bookings are, as sequence and user by booking; return the bookings whose link is news."""
    rows = sorted(links.items())
    columns = {
        "bookings": [booking for booking, _ in rows],
        "users": [user for _, (_, user) in rows],
        "sequences": [sequence for _, (sequence, _) in rows],
    }
    return (await connection.execute(_ADD_LINKS, columns)).scalars().all()
