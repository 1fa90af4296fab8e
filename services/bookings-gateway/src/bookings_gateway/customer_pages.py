"""A page of users, wherever it is: read from the nearest end of its order or, among all users, from an anchor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway import anchors

COLUMNS = """
    c.user_id, c.user_sequence, c.email, c.first_name, c.last_name, c.phone, c.company_name, c.placeholder,
    c.created_at, c.total_bookings, c.total_spent, c.total_paid, c.total_refunded, c.currencies, c.first_booking_date,
    c.last_booking_date, c.last_activity_date, c.canonical_id, c.erased_at
"""
# The ids of a page are found in the index alone, then the rows of the page are read. What is passed over is the index's
# own columns in their order: nothing has to be made of them.
_PAGE = """
    WITH page AS MATERIALIZED (
        SELECT {key} AS key, user_id FROM customer WHERE {conditions}
        ORDER BY {key} {read}, user_id {read} LIMIT :limit OFFSET :skip
    )
    SELECT {columns} FROM page p JOIN customer c USING (user_id) ORDER BY p.key {shown}, p.user_id {shown}
"""
_FROM_ANCHOR = "({key}, user_id) >= (SELECT a.{key}, a.user_id FROM customer a WHERE a.user_id = :anchor)"
# Statistics can be old when a table has just been filled; these plans are right at any size. An index has every order
# asked for, and sorting a million rows for a page of fifty never pays; those found by a word are few.
BY_INDEX = text(
    "SELECT set_config('enable_sort', :sort, true), set_config('enable_seqscan', 'off', true), "
    "set_config('plan_cache_mode', 'force_custom_plan', true)"
)


@dataclass(frozen=True, slots=True)
class Order:
    """By which key users are listed; who shares one is listed by id."""

    key: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Matching:
    """Whom the list is of: conditions and what they bind, how many match, and whether that is everybody."""

    conditions: str
    bound: Mapping[str, Any]
    total: int
    everybody: bool


@dataclass(frozen=True, slots=True)
class _Start:
    """From which end or anchor a page is read, and how many are passed over."""

    descending: bool
    skip: int
    anchor: UUID | None = None


async def read(
    connection: AsyncConnection, order: Order, matching: Matching, *, limit: int, offset: int
) -> Sequence[RowMapping]:
    """Return a page; the caller's transaction sees one moment and is told :data:`BY_INDEX`."""
    count = min(limit, max(matching.total - offset, 0))
    if count == 0:
        return []
    start = await _start(connection, order, matching, (offset, matching.total - offset - count))
    conditions, bound = [matching.conditions], {**matching.bound, "limit": count, "skip": start.skip}
    if start.anchor:
        conditions.append(_FROM_ANCHOR.format(key=order.key))
        bound["anchor"] = start.anchor
    names = {"columns": COLUMNS, "key": order.key, "conditions": " AND ".join(conditions)}
    query = _PAGE.format(**names, read=_direction(start), shown=_direction(order))
    return (await connection.execute(text(query), bound)).mappings().all()


async def _start(connection: AsyncConnection, order: Order, matching: Matching, around: tuple[int, int]) -> _Start:
    """Return where to begin; ``around`` is how many are shown before and after the page."""
    smaller, larger = reversed(around) if order.descending else around
    if matching.everybody and min(around) > anchors.APART:
        anchor = await anchors.last_before(connection, order.key, smaller)
        if anchor:
            return _Start(descending=False, skip=smaller - anchor.before, anchor=anchor.user_id)
    return _Start(descending=False, skip=smaller) if smaller <= larger else _Start(descending=True, skip=larger)


def _direction(way: Order | _Start) -> str:
    return "DESC" if way.descending else "ASC"
