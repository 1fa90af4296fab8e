"""Users as the admin sees them: listed, sorted, filtered, counted, looked up. All of it from the read model."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway import customer_pages
from bookings_gateway.customer_pages import BY_INDEX, COLUMNS, Matching, Order
from bookings_gateway.errors import NoSuchUser
from bookings_gateway.search_text import Query

# Field of the answer → what it is sorted by, which is never null: nothing counts as the smallest.
SORTS: Mapping[str, str] = {
    "id": "user_id",
    "email": "email_key",
    "name": "name_key",
    "firstName": "first_key",
    "lastName": "last_key",
    "phone": "phone_key",
    "companyName": "company_key",
    "placeholder": "placeholder",
    "totalBookings": "total_bookings",
    "totalSpent": "total_spent",
    "totalPaid": "total_paid",
    "totalRefunded": "total_refunded",
    "firstBookingDate": "first_booking_key",
    "lastBookingDate": "last_booking_key",
    "lastActivityDate": "last_activity_key",
    "createdAt": "created_at",
}
_FILTERS = {
    "placeholder": "placeholder = :placeholder",
    "has_bookings": "(total_bookings > 0) = :has_bookings",
    "created_from": "created_at >= :created_from",
    "created_to": "created_at < :created_to",
    "active_from": "last_activity_key >= :active_from",
    "active_to": "last_activity_key < :active_to AND last_activity_key > '-infinity'",
    "spent_from": "total_spent >= :spent_from",
    "spent_to": "total_spent <= :spent_to",
}
_COUNTED = frozenset(["placeholder", "has_bookings"])
# Whom a word names may have been merged: then the user they count as is meant.
_NAMED = """
    user_id IN (SELECT coalesce(canonical_id, user_id) FROM customer WHERE search @@ CAST(:words AS tsquery))
"""

_ALL = "SELECT {columns} FROM customer c WHERE {conditions} ORDER BY {key} {direction}, user_id {direction}"
_ONE = """
    SELECT {columns} FROM customer c WHERE user_id = :user_id AND (user_sequence > 0 OR erased_at IS NOT NULL)
"""
_SHOWN = text("SELECT * FROM customer WHERE user_id = :user_id")
_MERGED_FROM = text("SELECT user_id FROM customer WHERE canonical_id = :user_id ORDER BY user_id")
_COUNT = "SELECT count(*) FROM customer WHERE {conditions}"
_SUM = "SELECT coalesce(sum(users), 0) FROM customer_count WHERE {conditions}"
_SUMMED = {"placeholder": "placeholder = :placeholder", "has_bookings": "has_bookings = :has_bookings"}


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
        await connection.execute(BY_INDEX, {"sort": "on" if wanted.search else "off"})
        total = await _total(connection, wanted, conditions, bound)
        order = Order(SORTS[wanted.sort], descending=wanted.descending)
        matching = Matching(conditions, bound, total, everybody=not (bound or wanted.search))
        rows = await customer_pages.read(connection, order, matching, limit=limit, offset=offset)
    return Page(rows, total)


async def every(engine: AsyncEngine, wanted: Wanted) -> AsyncIterator[RowMapping]:
    """Go through all users that match, in their order, without holding them all."""
    conditions, bound = _conditions(wanted)
    direction = "DESC" if wanted.descending else "ASC"
    query = text(_ALL.format(columns=COLUMNS, conditions=conditions, key=SORTS[wanted.sort], direction=direction))
    async with engine.connect() as connection:
        rows = await connection.stream(query.execution_options(yield_per=500), bound)
        async for row in rows.mappings():
            yield row


async def one(engine: AsyncEngine, user_id: UUID) -> Person:
    """Return one user, be it merged or erased; raises :class:`NoSuchUser`."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        row = (
            (await connection.execute(text(_ONE.format(columns=COLUMNS)), {"user_id": user_id}))
            .mappings()
            .one_or_none()
        )
        if row is None:
            raise NoSuchUser(user_id)
        merged_from = (await connection.execute(_MERGED_FROM, {"user_id": user_id})).scalars().all()
    return Person(row, merged_from)


async def shown_before(engine: AsyncEngine, user_id: UUID, names: Collection[str]) -> Mapping[str, Any] | None:
    """Return what is shown of a user at this moment, of the columns named; ``None`` where nobody is known."""
    async with engine.connect() as connection:
        row = (await connection.execute(_SHOWN, {"user_id": user_id})).mappings().one_or_none()
    return {name: row[name] for name in names} if row else None


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
