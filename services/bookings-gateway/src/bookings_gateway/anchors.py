"""Where a page in the middle of all users begins: every thousandth user of each order, and what moved since.

``customer_anchor`` says how many users stood before an anchor when they were last counted. A trigger (migration 0002)
keeps in ``customer_moved`` what every statement changed since then, as it was and as it is; so where an anchor stands
now is a sum, exact in every snapshot. Rows are only added, so no writer waits for another; when many have come, or they
tell of somebody who was erased, all is counted again. An anchor has an id and a version, nothing of a person.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

APART = 1_000
FEW_USERS = 5_000  # fewer need no anchors
FEW_MOVED = 50_000  # rows, two for a change: gone through in a third of what a page may take

# Who has another version than when they were counted may stand elsewhere: the anchor before is taken.
_LAST_BEFORE = """
    SELECT c.user_id, a.before AS counted, a.before + (
        SELECT coalesce(sum(change), 0) FROM customer_moved WHERE ({key}, user_id) < (c.{key}, c.user_id)) AS before
    FROM customer_anchor a JOIN customer c USING (user_id)
    WHERE a.sort = :key AND a.before <= :place AND c.listed AND c.user_sequence + c.totals_sequence = a.version
    ORDER BY a.before DESC LIMIT 1
"""
# Counting a million users in all their orders takes a second or two, so it waits for a share of them to move, and for
# some ten thousands while they are few: an import moves everybody.
_DUE = text(
    """
    SELECT moved > greatest(:few_moved, users / 20) OR users >= :few_users AND NOT EXISTS (SELECT FROM customer_anchor)
        OR EXISTS (SELECT FROM customer_moved JOIN customer USING (user_id) WHERE erased_at IS NOT NULL)
    FROM (SELECT count(*) AS moved FROM customer_moved), (SELECT coalesce(sum(users), 0) AS users FROM customer_count)
    """
)
_ALONE = text("SELECT pg_try_advisory_xact_lock(7301955103)")
_BY_INDEX = text("SELECT set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true)")
# One statement, so one snapshot: what moved is deleted if, and only if, it is counted.
_COUNT = """
    WITH moved AS (DELETE FROM customer_moved), anchors AS (DELETE FROM customer_anchor)
    INSERT INTO customer_anchor (sort, before, user_id, version) {orders}
"""
# Every page goes through what moved, also through what was deleted and is still in the file.
_CLEAR_AWAY = text("VACUUM (SKIP_LOCKED) customer_moved")
_ORDER = """
    (WITH RECURSIVE anchor AS (
        (SELECT CAST(0 AS bigint) AS before, user_id, {key} AS key FROM customer WHERE listed
         ORDER BY {key}, user_id LIMIT 1)
        UNION ALL
        SELECT a.before + :apart, n.* FROM anchor a CROSS JOIN LATERAL (
            SELECT user_id, c.{key} FROM customer c WHERE listed AND (c.{key}, user_id) >= (a.key, a.user_id)
            ORDER BY c.{key}, user_id LIMIT 1 OFFSET :apart
        ) n
    )
    SELECT '{key}', before, user_id, user_sequence + totals_sequence FROM anchor JOIN customer USING (user_id))
"""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A user, and how many stand before it."""

    user_id: UUID
    before: int


async def last_before(connection: AsyncConnection, key: str, place: int) -> Anchor | None:
    """Return an anchor not far before a place in the order of a key, smallest first; ``None`` when there is none."""
    query, at = text(_LAST_BEFORE.format(key=key)), place
    while row := (await connection.execute(query, {"key": key, "place": at})).one_or_none():
        if row.before <= place:
            return Anchor(row.user_id, int(row.before))
        at = row.counted - (int(row.before) - place)  # it was pushed back: so much earlier the next is looked for
    return None


async def count_again(engine: AsyncEngine, keys: Collection[str]) -> None:
    """Count how many users stand before each anchor when it is due; of two at once, one does. Commits."""
    async with engine.begin() as connection:
        if not (await connection.execute(_ALONE)).scalar_one():
            return
        if not (await connection.execute(_DUE, {"few_users": FEW_USERS, "few_moved": FEW_MOVED})).scalar_one():
            return
        await connection.execute(_BY_INDEX)
        orders = " UNION ALL ".join(_ORDER.format(key=key) for key in keys)
        await connection.execute(text(_COUNT.format(orders=orders)), {"apart": APART})
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(_CLEAR_AWAY)
