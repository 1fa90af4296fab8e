"""Users as the admin sees them: listed, sorted, filtered, counted, looked up. All of it from the read model."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.errors import NoSuchUser
from bookings_gateway.search_text import Query

# Field of the answer → what it is sorted by. Where there is nothing, it counts as the smallest.
SORTS: Mapping[str, str] = {
    "email": "email",
    "name": "name_key",
    "firstName": "first_key",
    "lastName": "last_key",
    "phone": "phone_key",
    "companyName": "company_key",
    "totalBookings": "total_bookings",
    "totalSpent": "total_spent",
    "totalPaid": "total_paid",
    "totalRefunded": "total_refunded",
    "firstBookingDate": "first_booking_date",
    "lastBookingDate": "last_booking_date",
    "lastActivityDate": "last_activity_date",
    "createdAt": "created_at",
}
_ASCENDING, _DESCENDING = ("ASC NULLS FIRST", "ASC"), ("DESC NULLS LAST", "DESC")

_FILTERS = {
    "placeholder": "placeholder = :placeholder",
    "has_bookings": "(total_bookings > 0) = :has_bookings",
    "created_from": "created_at >= :created_from",
    "created_to": "created_at < :created_to",
    "active_from": "last_activity_date >= :active_from",
    "active_to": "last_activity_date < :active_to",
    "spent_from": "total_spent >= :spent_from",
    "spent_to": "total_spent <= :spent_to",
}
_COUNTED = frozenset(["placeholder", "has_bookings"])
# Whom a word names may have been merged: then the user they count as is meant.
_NAMED = """
    (search @@ CAST(:words AS tsquery) OR user_id IN (
        SELECT canonical_id FROM customer WHERE canonical_id IS NOT NULL AND search @@ CAST(:words AS tsquery)))
"""

_COLUMNS = """
    c.user_id, c.user_sequence, c.email, c.first_name, c.last_name, c.phone, c.company_name, c.placeholder,
    c.created_at, c.total_bookings, c.total_spent, c.total_paid, c.total_refunded, c.currencies, c.first_booking_date,
    c.last_booking_date, c.last_activity_date, c.canonical_id, c.erased_at
"""
# The ids of a page are found in the index alone, then the rows of the page are read. What is passed over is the index's
# own columns in their order: nothing has to be made of them.
_PAGE = """
    WITH page AS MATERIALIZED (
        SELECT {key} AS key, user_id FROM customer WHERE {conditions}
        ORDER BY {key} {by_key}, user_id {by_id} LIMIT :limit OFFSET :offset
    )
    SELECT {columns} FROM page p JOIN customer c USING (user_id)
    ORDER BY p.key {shown_by_key}, p.user_id {shown_by_id}
"""
_ALL = "SELECT {columns} FROM customer c WHERE {conditions} ORDER BY {key} {by_key}, user_id {by_id}"
_ONE = """
    SELECT {columns} FROM customer c WHERE user_id = :user_id AND (user_sequence > 0 OR erased_at IS NOT NULL)
"""
_MERGED_FROM = text("SELECT user_id FROM customer WHERE canonical_id = :user_id ORDER BY user_id")
_COUNT = "SELECT count(*) FROM customer WHERE {conditions}"
_SUM = "SELECT coalesce(sum(users), 0) FROM customer_count WHERE {conditions}"
_SUMMED = {"placeholder": "placeholder = :placeholder", "has_bookings": "has_bookings = :has_bookings"}

# Statistics can be old when a table has just been filled; these plans are right at any size. An index has every order
# asked for, and sorting a million rows for a page of fifty never pays.
_BY_INDEX = text(
    "SELECT set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true), "
    "set_config('plan_cache_mode', 'force_custom_plan', true)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which users, in which order; ``None`` is no restriction. Ranges: from is included, to of times is not."""

    search: str | None = None
    placeholder: bool | None = None
    has_bookings: bool | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    active_from: datetime | None = None
    active_to: datetime | None = None
    spent_from: Decimal | None = None
    spent_to: Decimal | None = None
    sort: str = "createdAt"
    descending: bool = True

    @property
    def given(self) -> dict[str, Any]:
        """The filters that are set."""
        return {name: value for name in _FILTERS if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Page:
    """``total`` counts all that match."""

    rows: Sequence[RowMapping]
    total: int


@dataclass(frozen=True, slots=True)
class Person:
    """A user, and the ids of those who were merged into them."""

    row: RowMapping
    merged_from: Sequence[UUID]


async def find(engine: AsyncEngine, wanted: Wanted, *, limit: int, offset: int) -> Page:
    """Return a page of users and how many match, both of one moment."""
    conditions, bound = _conditions(wanted)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        await connection.execute(_BY_INDEX)
        total = await _total(connection, wanted, conditions, bound)
        rows = await _page(connection, wanted, (conditions, bound), (limit, offset, total))
    return Page(rows, total)


async def every(engine: AsyncEngine, wanted: Wanted) -> AsyncIterator[RowMapping]:
    """Go through all users that match, in their order, without holding them all."""
    conditions, bound = _conditions(wanted)
    by_key, by_id = _DESCENDING if wanted.descending else _ASCENDING
    query = text(
        _ALL.format(columns=_COLUMNS, conditions=conditions, key=SORTS[wanted.sort], by_key=by_key, by_id=by_id)
    )
    async with engine.connect() as connection:
        rows = await connection.stream(query.execution_options(yield_per=500), bound)
        async for row in rows.mappings():
            yield row


async def one(engine: AsyncEngine, user_id: UUID) -> Person:
    """Return one user, be it merged or erased; raises :class:`NoSuchUser`."""
    async with engine.connect() as connection:
        row = (
            (await connection.execute(text(_ONE.format(columns=_COLUMNS)), {"user_id": user_id}))
            .mappings()
            .one_or_none()
        )
        if row is None:
            raise NoSuchUser(user_id)
        merged_from = (await connection.execute(_MERGED_FROM, {"user_id": user_id})).scalars().all()
    return Person(row, merged_from)


def _conditions(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    conditions, bound = ["listed"], wanted.given
    conditions += [_FILTERS[name] for name in bound]
    if wanted.search:
        query = Query(wanted.search)
        conditions.append(_NAMED if not query.is_empty else "false")
        bound |= {"words": query.begun()} if not query.is_empty else {}
    return " AND ".join(conditions), bound


async def _total(connection: AsyncConnection, wanted: Wanted, conditions: str, bound: Mapping[str, Any]) -> int:
    if wanted.search or not _COUNTED.issuperset(bound):
        query = text(_COUNT.format(conditions=conditions))
    else:
        query = text(_SUM.format(conditions=" AND ".join(_SUMMED[name] for name in bound) or "true"))
    return int((await connection.execute(query, bound)).scalar_one())


async def _page(
    connection: AsyncConnection, wanted: Wanted, matching: tuple[str, Mapping[str, Any]], window: tuple[int, int, int]
) -> Sequence[RowMapping]:
    """Read a page from the end it is nearer to: half of all rows is the most that is ever passed over."""
    limit, offset, total = window
    count = min(limit, max(total - offset, 0))
    if count == 0:
        return []
    from_the_end = offset > total // 2
    shown = _DESCENDING if wanted.descending else _ASCENDING
    read = (_ASCENDING if wanted.descending else _DESCENDING) if from_the_end else shown
    names = dict(zip(("by_key", "by_id", "shown_by_key", "shown_by_id"), (*read, *shown), strict=True))
    query = text(_PAGE.format(columns=_COLUMNS, conditions=matching[0], key=SORTS[wanted.sort], **names))
    start = total - offset - count if from_the_end else offset
    return (await connection.execute(query, {**matching[1], "limit": count, "offset": start})).mappings().all()
