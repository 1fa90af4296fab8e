"""Users who may be one person: found by comparing neighbours in orders that bring alike ones together.

Nothing here is ever applied by itself, and what staff dismissed does not come back.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy.exc
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database import describe, is_transient
from shared.refusals import UnusableCursor
from users.errors import NoSuchUser
from users.service.paging import Page, decode, page_of

log = structlog.get_logger(__name__)

_TRY_TURN = text("SELECT pg_try_advisory_xact_lock(7301955022), set_config('work_mem', '128MB', true)")
_CLEAR = text("DELETE FROM duplicate_suggestion")
# Each user is compared with the three before it in four orders, so the work grows with the number of users, however
# many share a phone or a surname:
#   by phone, then surname      -> same phone, surname equal up to one letter
#   by address without its tag and, at Gmail, its dots   -> the same mailbox
#   by surname, then address, forwards and backwards     -> addresses two letters apart, wherever these are;
#       addresses that differ by digits alone are how providers tell namesakes apart
_FIND = text(
    """
    INSERT INTO duplicate_suggestion (one_id, other_id, reasons, score)
    WITH person AS MATERIALIZED (
        SELECT id, email, phone_key, left(lower(last_name), 100) AS surname, left(lower(first_name), 1) AS initial,
               CASE WHEN split_part(email, '@', 2) IN ('gmail.com', 'googlemail.com')
                    THEN replace(split_part(split_part(email, '@', 1), '+', 1), '.', '') || '@gmail.com'
                    ELSE split_part(split_part(email, '@', 1), '+', 1) || '@' || split_part(email, '@', 2)
               END AS mailbox
        FROM users WHERE merged_into IS NULL AND erased_at IS NULL
    ), by_phone AS (
        SELECT id, surname, near.* FROM (
            SELECT id, surname, ARRAY[lag(id, 1) OVER w, lag(id, 2) OVER w, lag(id, 3) OVER w] AS ids,
                   ARRAY[lag(surname, 1) OVER w, lag(surname, 2) OVER w, lag(surname, 3) OVER w] AS surnames
            FROM person WHERE phone_key IS NOT NULL AND surname <> ''
            WINDOW w AS (PARTITION BY phone_key ORDER BY surname, id)
        ) p, unnest(ids, surnames) AS near (near_id, near_surname)
        WHERE near_id IS NOT NULL AND levenshtein_less_equal(surname, near_surname, 1) <= 1
    ), by_mailbox AS (
        SELECT id, near_id FROM (
            SELECT id, ARRAY[lag(id, 1) OVER w, lag(id, 2) OVER w, lag(id, 3) OVER w] AS ids
            FROM person WHERE email IS NOT NULL
            WINDOW w AS (PARTITION BY mailbox ORDER BY id)
        ) p, unnest(ids) AS near (near_id)
        WHERE near_id IS NOT NULL
    ), by_address AS (
        SELECT id, email, near.* FROM (
            SELECT id, email, ARRAY[lag(id, 1) OVER w, lag(id, 2) OVER w, lag(id, 3) OVER w] AS ids,
                   ARRAY[lag(email, 1) OVER w, lag(email, 2) OVER w, lag(email, 3) OVER w] AS emails
            FROM person WHERE surname <> '' AND length(email) <= 250
            WINDOW w AS (PARTITION BY surname, initial ORDER BY email)
            UNION ALL
            SELECT id, email, ARRAY[lag(id, 1) OVER w, lag(id, 2) OVER w, lag(id, 3) OVER w],
                   ARRAY[lag(email, 1) OVER w, lag(email, 2) OVER w, lag(email, 3) OVER w]
            FROM person WHERE surname <> '' AND length(email) <= 250
            WINDOW w AS (PARTITION BY surname, initial ORDER BY reverse(email))
        ) p, unnest(ids, emails) AS near (near_id, near_email)
        WHERE near_id IS NOT NULL AND levenshtein_less_equal(email, near_email, 2) <= 2
          AND translate(email, '0123456789', '') <> translate(near_email, '0123456789', '')
    ), found AS (
        SELECT id, near_id, 'same phone and surname' AS reason, 40 AS score FROM by_phone
        UNION SELECT id, near_id, 'same mailbox', 50 FROM by_mailbox
        UNION SELECT id, near_id, 'similar address', 30 FROM by_address
    ), pair AS (
        SELECT DISTINCT least(id, near_id) AS one_id, greatest(id, near_id) AS other_id, reason, score FROM found
    )
    SELECT one_id, other_id, array_agg(reason ORDER BY score DESC), sum(score)
    FROM pair
    WHERE NOT EXISTS (SELECT FROM duplicate_dismissal d
                      WHERE d.one_id = pair.one_id AND d.other_id = pair.other_id)
    GROUP BY one_id, other_id
    """
)
# Judged again as things are now: since the last search somebody may have been merged, erased or dismissed.
_LIST = text(
    """
    SELECT s.one_id, s.other_id, s.reasons, s.score, to_jsonb(one) AS one, to_jsonb(other) AS other
    FROM duplicate_suggestion s
    JOIN users one ON one.id = s.one_id AND one.merged_into IS NULL AND one.erased_at IS NULL
    JOIN users other ON other.id = s.other_id AND other.merged_into IS NULL AND other.erased_at IS NULL
    WHERE NOT EXISTS (SELECT FROM duplicate_dismissal d WHERE d.one_id = s.one_id AND d.other_id = s.other_id)
      AND (CAST(:score AS integer) IS NULL
           OR (-s.score, s.one_id, s.other_id) > (-CAST(:score AS integer), CAST(:one AS uuid), CAST(:other AS uuid)))
    ORDER BY s.score DESC, s.one_id, s.other_id LIMIT :limit
    """
)
_PRESENT = text("SELECT id FROM users WHERE id = ANY(CAST(:ids AS uuid[]))")
_DISMISS = text(
    "INSERT INTO duplicate_dismissal (one_id, other_id, by) VALUES (:one, :other, :by) ON CONFLICT DO NOTHING"
)
_TAKE_AWAY = text("DELETE FROM duplicate_suggestion WHERE one_id = :one AND other_id = :other")
_COUNT = text("SELECT count(*) FROM duplicate_suggestion")


async def find_duplicates(engine: AsyncEngine) -> int | None:
    """Look for likely duplicates among all users and commit; return how many, or ``None`` if somebody else is at it."""
    async with engine.begin() as connection:
        if not (await connection.execute(_TRY_TURN)).scalar_one():
            return None
        await connection.execute(_CLEAR)
        await connection.execute(_FIND)
        count: int = (await connection.execute(_COUNT)).scalar_one()
    return count


async def list_duplicates(engine: AsyncEngine, *, limit: int, cursor: str | None = None) -> Page:
    """Return a page of likely duplicates, likeliest first; raises ``UnusableCursor``."""
    score, one, other = _position(cursor)
    async with engine.connect() as connection:
        criteria = {"score": score, "one": one, "other": other, "limit": limit + 1}
        rows = (await connection.execute(_LIST, criteria)).mappings().all()
    return page_of(rows, limit, "score", "one_id", "other_id")


async def dismiss_duplicate(engine: AsyncEngine, users: Sequence[UUID], *, by: str) -> None:
    """Keep that two users are two people, and commit. Repeating it changes nothing. Raises ``NoSuchUser``."""
    one, other = sorted(users)
    async with engine.begin() as connection:
        present = set((await connection.execute(_PRESENT, {"ids": [one, other]})).scalars())
        for user_id in (one, other):
            if user_id not in present:
                raise NoSuchUser(user_id)
        await connection.execute(_DISMISS, {"one": one, "other": other, "by": by})
        await connection.execute(_TAKE_AWAY, {"one": one, "other": other})


async def look_for_duplicates(engine: AsyncEngine, every: timedelta) -> None:
    """Look again and again, until cancelled; a database that is away is only waited for."""
    while True:
        try:
            log.info("duplicates_found", count=await find_duplicates(engine))
        except (OSError, sqlalchemy.exc.SQLAlchemyError) as error:
            if not is_transient(error):
                raise
            log.warning("duplicates_not_looked_for", error=describe(error))
        await asyncio.sleep(every.total_seconds())


def _position(cursor: str | None) -> tuple[int | None, UUID | None, UUID | None]:
    if cursor is None:
        return None, None, None
    score, one, other = decode(cursor, 3)
    try:
        if not 0 <= int(score) <= 1000:
            raise UnusableCursor
        return int(score), UUID(one), UUID(other)
    except ValueError:
        raise UnusableCursor from None
