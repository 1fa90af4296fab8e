"""One box over users, bookings and payments: exact words first, then words begun, then words that may be mistyped.

A step first looks at the keys that sort users: whatever is common stands together there, and the first few are enough.
The index of words goes through all that match, so it is asked for what the keys do not find: it is rare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz.distance import OSA
from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway import customer_records as records
from bookings_gateway import name_keys
from bookings_gateway.name_keys import Range
from bookings_gateway.search_text import Query

_CANDIDATES = 300
_MEANT = 6
_MOST_TYPOS = 2

# An index gives the candidates whatever the statistics say: with LIMIT, reading the table would look cheap and be slow.
# No plan here depends on what was typed, and making one takes longer than using it.
_PREPARE = text(
    """
    SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
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
_USERS = """
    WITH found AS MATERIALIZED ({found} LIMIT :candidates), candidate AS (
        SELECT coalesce(canonical_id, user_id) AS user_id, bool_or(name_key = :name OR email = :name) AS whole
        FROM customer WHERE user_id IN (SELECT user_id FROM found) GROUP BY 1
    )
    SELECT c.* FROM candidate JOIN customer c USING (user_id)
    WHERE c.listed AND c.user_id <> ALL (CAST(:seen AS uuid[]))
    ORDER BY whole DESC, c.last_activity_date DESC NULLS LAST, c.user_id LIMIT :limit
"""
# Only surnames are looked through for what stands behind: those who share one are few, those with a first name many.
_IN_KEYS = """
    SELECT user_id FROM (
        SELECT user_id FROM customer WHERE listed AND {key} >= r.low AND {key} < r.high AND {within} LIMIT :candidates
    ) in_{key}
"""
_KEYS = {
    "last_key": "(r.within = '' OR strpos(last_key, r.within) > 0)",
    **dict.fromkeys(("name_key", "company_key", "email_key"), "r.within = ''"),
}
_USERS_BY_KEYS = text(
    _USERS.format(
        found=f"""
        SELECT k.user_id
        FROM unnest(CAST(:lows AS text[]), CAST(:highs AS text[]), CAST(:withins AS text[])) AS r (low, high, within)
        CROSS JOIN LATERAL (
            {" UNION ALL ".join(_IN_KEYS.format(key=key, within=within) for key, within in _KEYS.items())}
        ) k
        """  # noqa: S608 - constants
    )
)
_USERS_BY_WORDS = text(_USERS.format(found="SELECT user_id FROM customer WHERE search @@ CAST(:words AS tsquery)"))
_BOOKINGS = text(
    """
    SELECT booking_id FROM (
        SELECT booking_id, created_at FROM booking_summary WHERE search @@ CAST(:words AS tsquery) LIMIT :candidates
    ) found
    WHERE booking_id <> ALL (CAST(:seen AS text[]))
    ORDER BY created_at DESC NULLS LAST, booking_id LIMIT :limit
    """
)
# When people were found, so were their bookings: going through three times as many rows adds little.
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
# By an id of its own first, then of the bookings found, newest first.
_PAYMENTS = text(
    f"""
    WITH found AS (
        SELECT payment_id, 'exact' AS match FROM booking_payment WHERE payment_id = :code
        UNION ALL
        (SELECT payment_id, 'exact' FROM booking_payment
         WHERE stripe_payment_intent_id >= :code AND stripe_payment_intent_id < :code_end
         ORDER BY stripe_payment_intent_id LIMIT :limit)
        UNION ALL
        (SELECT payment_id, 'exact' FROM booking_payment
         WHERE stripe_charge_id >= :code AND stripe_charge_id < :code_end ORDER BY stripe_charge_id LIMIT :limit)
        UNION ALL
        (SELECT payment_id, 'booking' FROM booking_payment WHERE booking_id = ANY(CAST(:bookings AS text[]))
         ORDER BY created_at DESC, payment_id LIMIT :limit)
    ), best AS (SELECT payment_id, max(match) AS match FROM found GROUP BY payment_id)
    SELECT {records.PAYMENT}, best.match FROM best JOIN ({records.PAYMENT_FROM}) ON p.payment_id = best.payment_id
    ORDER BY best.match DESC, p.created_at DESC, p.payment_id LIMIT :limit
    """  # noqa: S608 - constants
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


@dataclass(frozen=True, slots=True)
class _Step:
    """What one step looks for: ranges of keys, and words."""

    match: str
    ranges: Sequence[Range]
    words: str


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
    for make in (_exact, _prefix, _similar, _other_domain):
        if make in (_similar, _other_domain) and (users or bookings):
            break
        step = await make(connection, query)
        if step is None:
            continue
        users += await _users(connection, query, step, users, limit)
        bookings |= dict.fromkeys(await _bookings(connection, step, users, list(bookings), limit), step.match)
    return users, bookings


async def _exact(_: AsyncConnection, query: Query) -> _Step:
    return _Step("exact", name_keys.exact(query.typed), query.exact())


async def _prefix(_: AsyncConnection, query: Query) -> _Step:
    return _Step("prefix", name_keys.begun(query.typed), query.being_typed())


async def _similar(connection: AsyncConnection, query: Query) -> _Step | None:
    meant = {word: await _meant(connection, word) for word in query.misspelt}
    if not any(meant.values()):
        return None
    return _Step("similar", name_keys.similar(query.typed, meant), query.similar(meant))


async def _other_domain(_: AsyncConnection, query: Query) -> _Step | None:
    """The same mailbox at any domain: what is mistyped may be behind the @."""
    if query.mailbox is None:
        return None
    return _Step("similar", name_keys.mailbox(query.mailbox), query.any_domain())


async def _users(
    connection: AsyncConnection, query: Query, step: _Step, before: Sequence[Hit], limit: int
) -> list[Hit]:
    """Return further users: by keys; by words that are exact, or a number's digits, or when there is nobody yet."""
    hits: list[Hit] = []

    async def add(statement: TextClause, wanted: Mapping[str, Any]) -> None:
        seen = [hit.row["user_id"] for hit in (*before, *hits)]
        bound = {"name": query.name, "candidates": _CANDIDATES, "seen": seen, "limit": limit - len(seen)}
        rows = await connection.execute(statement, {**bound, **wanted})
        hits.extend(Hit(row, step.match) for row in rows.mappings())

    if len(before) < limit:
        await add(_USERS_BY_KEYS, _bounds(step.ranges))
    if len(before) + len(hits) < limit and (step.match == "exact" or query.is_phone or not (before or hits)):
        await add(_USERS_BY_WORDS, {"words": step.words})
    return hits


def _bounds(ranges: Sequence[Range]) -> dict[str, list[str]]:
    return {
        "lows": [each.low for each in ranges],
        "highs": [each.high for each in ranges],
        "withins": [each.within for each in ranges],
    }


async def _bookings(
    connection: AsyncConnection, step: _Step, users: Sequence[Hit], before: Sequence[str], limit: int
) -> list[str]:
    """Return the ids of further bookings: of the users found, then with the words where those are few."""
    found: list[str] = []
    if users and len(before) < limit:
        theirs = {"users": [hit.row["user_id"] for hit in users], "seen": before, "limit": limit - len(before)}
        found += (await connection.execute(_BOOKINGS_OF_USERS, theirs)).scalars()
    seen = [*before, *found]
    if len(seen) < limit and (step.match == "exact" or not users):
        bound = {"words": step.words, "candidates": _CANDIDATES, "seen": seen, "limit": limit - len(seen)}
        found += (await connection.execute(_BOOKINGS, bound)).scalars()
    return found


async def _meant(connection: AsyncConnection, word: str) -> list[str]:
    """Return the known words a mistyped one is nearest to: one or two letters wrong, left out, too many or swapped."""
    most = 1 if len(word) <= 4 else _MOST_TYPOS
    known = (await connection.execute(_SIMILAR_WORDS, {"word": word})).scalars()
    near = sorted((OSA.distance(word, each), each) for each in known)
    return [each for distance, each in near if 0 < distance <= most][:_MEANT]


async def _payments(connection: AsyncConnection, query: Query, bookings: Sequence[str], limit: int) -> list[Hit]:
    """Look for payments by an id of theirs, and by the bookings found."""
    bound = {**records.code_range(query.code or ""), "bookings": bookings, "limit": limit}
    rows = (await connection.execute(_PAYMENTS, bound)).mappings()
    return [Hit(row, row["match"]) for row in rows]
