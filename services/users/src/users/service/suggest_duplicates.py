"""Users who may be one person: found by comparing neighbours in orders that bring alike ones together.

Nothing here is ever applied by itself, and what staff dismissed does not come back.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy.exc
import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database import describe, is_transient
from shared.refusals import UnusableCursor
from users.errors import NoSuchUser
from users.service.paging import Page, decode, page_of

log = structlog.get_logger(__name__)

_TRY_TURN = text("SELECT pg_try_advisory_xact_lock(7301955022), set_config('work_mem', '128MB', true)")
_CLEAR = text("DELETE FROM duplicate_suggestion")
# What is compared of users who count as themselves; read once for all kinds.
_GATHER = text(
    """
    CREATE TEMPORARY TABLE person ON COMMIT DROP AS
    SELECT id, email, phone_key, left(lower(last_name), 100) AS surname, left(lower(first_name), 1) AS initial,
           CASE WHEN split_part(email, '@', 2) IN ('gmail.com', 'googlemail.com')
                THEN replace(split_part(split_part(email, '@', 1), '+', 1), '.', '') || '@gmail.com'
                ELSE split_part(split_part(email, '@', 1), '+', 1) || '@' || split_part(email, '@', 2)
           END AS mailbox
    FROM users WHERE merged_into IS NULL AND erased_at IS NULL
    """
)
_FOUND = text("CREATE TEMPORARY TABLE found (one_id uuid, other_id uuid, reason text, score integer) ON COMMIT DROP")
# Each user is compared with the three before it in four orders, so the work grows with the number of users, however
# many share a phone or a surname. One statement an order: each sorts once, and none holds what another needs.
_FIND = """
    INSERT INTO found
    SELECT least(id, near_id), greatest(id, near_id), '{reason}', {score}
    FROM (
        SELECT id, {value} AS value, ARRAY[lag(id, 1) OVER w, lag(id, 2) OVER w, lag(id, 3) OVER w] AS ids,
               ARRAY[lag({value}, 1) OVER w, lag({value}, 2) OVER w, lag({value}, 3) OVER w] AS values
        FROM person WHERE {among}
        WINDOW w AS (PARTITION BY {alike} ORDER BY {order})
    ) p, unnest(ids, values) AS near (near_id, near_value)
    WHERE near_id IS NOT NULL AND {close}
"""


def _find(reason: str, score: int, **parts: str) -> TextClause:
    return text(_FIND.format(reason=reason, score=score, **parts))


_SIMILAR = {
    "value": "email",
    "among": "surname <> '' AND length(email) <= 250",
    "alike": "surname, initial",
    # two letters apart, wherever these are; digits alone are how providers tell namesakes apart
    "close": "levenshtein_less_equal(value, near_value, 2) <= 2 "
    "AND translate(value, '0123456789', '') <> translate(near_value, '0123456789', '')",
}
_KINDS = (
    _find(
        "same phone and surname",
        40,
        value="surname",
        among="phone_key IS NOT NULL AND surname <> ''",
        alike="phone_key",
        order="surname, id",
        close="levenshtein_less_equal(value, near_value, 1) <= 1",
    ),
    # the address without its tag and, at Gmail, its dots
    _find("same mailbox", 50, value="mailbox", among="email IS NOT NULL", alike="mailbox", order="id", close="true"),
    _find("similar address", 30, order="email", **_SIMILAR),
    _find("similar address", 30, order="reverse(email)", **_SIMILAR),
)
_KEEP = text(
    """
    INSERT INTO duplicate_suggestion (one_id, other_id, reasons, score)
    SELECT one_id, other_id, array_agg(reason ORDER BY score DESC), sum(score)
    FROM (SELECT DISTINCT one_id, other_id, reason, score FROM found) pair
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
        for statement in (_GATHER, _FOUND, *_KINDS, _CLEAR, _KEEP):
            await connection.execute(statement)
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
