"""One box over users, bookings and payments: exact words first, then words begun, then words that may be mistyped.

Every step is bounded: it takes what the index finds up to a number of candidates, and puts those in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz.distance import OSA
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway import customer_records as records
from bookings_gateway.search_text import Query, sort_key

_CANDIDATES = 300
_MEANT = 6
_MOST_TYPOS = 2

# An index gives the candidates whatever the statistics say: with LIMIT, reading the table would look cheap and be slow.
_PREPARE = text(
    """
    SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true),
           set_config('pg_trgm.similarity_threshold', '0.25', true)
    """
)
_SIMILAR_WORDS = text(
    """
    SELECT word FROM search_word WHERE word % :word AND length(word) BETWEEN length(:word) - 2 AND length(:word) + 2
    ORDER BY similarity(word, :word) DESC, word LIMIT 40
    """
)
# The whole name first, then who was active last; a merged user stands for the one it counts as.
_USERS = text(
    """
    WITH candidate AS MATERIALIZED (
        SELECT coalesce(canonical_id, user_id) AS user_id, bool_or(name_key = :name OR email = :name) AS whole
        FROM (SELECT user_id, canonical_id, name_key, email FROM customer WHERE search @@ CAST(:words AS tsquery)
              LIMIT :candidates) found
        GROUP BY 1
    )
    SELECT c.* FROM candidate JOIN customer c USING (user_id)
    WHERE c.listed AND c.user_id <> ALL (CAST(:seen AS uuid[]))
    ORDER BY whole DESC, c.last_activity_date DESC NULLS LAST, c.user_id LIMIT :limit
    """
)
_BOOKINGS = text(
    """
    SELECT booking_id FROM (
        SELECT booking_id, created_at FROM booking_summary WHERE search @@ CAST(:words AS tsquery) LIMIT :candidates
    ) found
    WHERE booking_id <> ALL (CAST(:seen AS text[]))
    ORDER BY created_at DESC NULLS LAST, booking_id LIMIT :limit
    """
)
# When people were found by words begun, so were their bookings: going through three times as many rows adds little.
_BOOKINGS_OF_USERS = text(
    """
    SELECT booking_id FROM booking_user JOIN booking_summary b USING (booking_id)
    WHERE user_id IN (
            SELECT user_id FROM customer
            WHERE user_id = ANY(CAST(:users AS uuid[])) OR canonical_id = ANY(CAST(:users AS uuid[])))
        AND NOT b.deleted AND booking_id <> ALL (CAST(:seen AS text[]))
    ORDER BY b.created_at DESC NULLS LAST, booking_id LIMIT :limit
    """
)
_BY_CODE = "SELECT payment_id FROM booking_payment WHERE {condition} ORDER BY payment_id LIMIT :limit"
_PAYMENTS_BY_CODE = text(_BY_CODE.format(condition=records.PAYMENT_BY_CODE))
_PAYMENTS_OF_BOOKINGS = text(
    """
    SELECT payment_id FROM booking_payment WHERE booking_id = ANY(CAST(:bookings AS text[]))
    ORDER BY created_at DESC, payment_id LIMIT :limit
    """
)


@dataclass(frozen=True, slots=True)
class Hit:
    """A row, and how it was found: ``exact``, ``prefix`` or ``similar``."""

    row: RowMapping
    match: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of each kind, best first."""

    users: Sequence[Hit] = ()
    bookings: Sequence[Hit] = ()
    payments: Sequence[Hit] = ()


async def search(engine: AsyncEngine, typed: str, *, limit: int) -> Found:
    """Return up to ``limit`` users, bookings and payments for what somebody typed."""
    query = Query(typed.replace("\x00", " "))  # PostgreSQL's text holds none
    if query.is_empty:
        return Found()
    async with engine.connect() as connection:
        await connection.execute(_PREPARE)
        users, bookings = await _by_words(connection, query, limit)
        found = (await connection.execute(records.BOOKINGS_BY_ID, {"ids": list(bookings)})).mappings()
        shown = {row["booking_id"]: row for row in found}
        payments = await _payments(connection, query, list(bookings), limit)
    return Found(users, [Hit(shown[id_], match) for id_, match in bookings.items() if id_ in shown], payments)


async def _by_words(connection: AsyncConnection, query: Query, limit: int) -> tuple[list[Hit], dict[str, str]]:
    """Look for users and bookings step by step, until there are enough; a later step never displaces an earlier."""
    users: list[Hit] = []
    bookings: dict[str, str] = {}
    for match in ("exact", "prefix", "similar"):
        words = await _words(connection, query, match)
        if words is None or (match == "similar" and (users or bookings)):
            break
        bound = {"words": words, "candidates": _CANDIDATES}
        if len(users) < limit:
            seen = {"seen": [hit.row["user_id"] for hit in users], "limit": limit - len(users)}
            rows = await connection.execute(_USERS, {**bound, **seen, "name": sort_key(query.typed)})
            users += [Hit(row, match) for row in rows.mappings()]
        if len(bookings) < limit:
            left = {"seen": list(bookings), "limit": limit - len(bookings)}
            bookings |= dict.fromkeys(await _bookings(connection, match, users, {**bound, **left}), match)
    return users, bookings


async def _bookings(
    connection: AsyncConnection, match: str, users: Sequence[Hit], bound: Mapping[str, Any]
) -> Sequence[str]:
    """Return the ids of bookings with the words; once people were found by words begun, of theirs."""
    if match == "exact" or not users:
        return (await connection.execute(_BOOKINGS, bound)).scalars().all()
    theirs = {"users": [hit.row["user_id"] for hit in users], "seen": bound["seen"], "limit": bound["limit"]}
    return (await connection.execute(_BOOKINGS_OF_USERS, theirs)).scalars().all()


async def _words(connection: AsyncConnection, query: Query, match: str) -> str | None:
    if match == "exact":
        return query.exact()
    if match == "prefix":
        return query.begun()
    meant = {word: await _meant(connection, word) for word in query.misspelt}
    return query.similar(meant) if any(meant.values()) else None


async def _meant(connection: AsyncConnection, word: str) -> list[str]:
    """Return the known words a mistyped one is nearest to: one or two letters wrong, left out, too many or swapped."""
    most = 1 if len(word) <= 4 else _MOST_TYPOS
    known = (await connection.execute(_SIMILAR_WORDS, {"word": word})).scalars()
    near = sorted((OSA.distance(word, each), each) for each in known)
    return [each for distance, each in near if 0 < distance <= most][:_MEANT]


async def _payments(connection: AsyncConnection, query: Query, bookings: Sequence[str], limit: int) -> list[Hit]:
    """Look for payments by an id of theirs, then by the bookings found."""
    ids: dict[str, str] = {}
    if query.code:
        bound: Mapping[str, Any] = {**records.code_range(query.code), "limit": limit}
        ids |= dict.fromkeys((await connection.execute(_PAYMENTS_BY_CODE, bound)).scalars(), "exact")
    if bookings:
        bound = {"bookings": list(bookings), "limit": limit}
        ids = dict.fromkeys((await connection.execute(_PAYMENTS_OF_BOOKINGS, bound)).scalars(), "booking") | ids
    rows = {row["payment_id"]: row for row in await records.payments_by_id(connection, list(ids))}
    order = sorted(ids, key=lambda id_: ids[id_] != "exact")[:limit]
    return [Hit(rows[id_], ids[id_]) for id_ in order if id_ in rows]
