"""Bookings and payments as the admin sees them beside a user, and the list of all payments. From the read model."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.errors import NoSuchPayment
from bookings_gateway.search_text import Query
from bookings_gateway.statements import PAYMENT_STATUS, PAYMENTS_OF_EACH

# The bookings of everybody who counts as one user: the canonical one, and all merged into it.
_THEIR_BOOKINGS = """
    SELECT booking_id FROM booking_user WHERE user_id IN (
        SELECT user_id FROM customer
        WHERE user_id = (SELECT coalesce(canonical_id, user_id) FROM customer WHERE user_id = :user_id)
           OR canonical_id = (SELECT coalesce(canonical_id, user_id) FROM customer WHERE user_id = :user_id))
"""

_BOOKING = f"""
    b.booking_id, b.booking_reference, b.status, b.first_name, b.last_name, b.email, b.phone, b.company,
    b.final_amount, b.currency, b.payment_date, b.payment_method, b.payment_reference, b.created_at, b.updated_at,
    coalesce(k.canonical_id, l.user_id) AS user_id,
    {PAYMENT_STATUS} AS payment_status
"""
_BOOKING_FROM = f"""
    booking_summary b LEFT JOIN booking_user l USING (booking_id) LEFT JOIN customer k ON k.user_id = l.user_id
    LEFT JOIN {PAYMENTS_OF_EACH.format(id="booking_id")}
"""
_BOOKINGS = """
    WITH theirs AS MATERIALIZED ({theirs}), page AS (
        SELECT booking_id, s.created_at, count(*) OVER () AS total
        FROM theirs JOIN booking_summary s USING (booking_id) WHERE NOT s.deleted
        ORDER BY s.created_at DESC NULLS LAST, booking_id LIMIT :limit OFFSET :offset
    )
    SELECT {columns}, page.total FROM page JOIN ({source}) ON b.booking_id = page.booking_id
    ORDER BY page.created_at DESC NULLS LAST, page.booking_id
"""
_BOOKINGS_TOTAL = "SELECT count(*) FROM booking_summary WHERE NOT deleted AND booking_id IN ({theirs})"
_BOOKINGS_BY_ID = """
    SELECT {columns} FROM {source} WHERE b.booking_id = ANY(CAST(:ids AS text[])) AND NOT b.deleted
"""

PAYMENT = """
    p.payment_id, p.status, p.currency, p.amount, p.received, p.refunded, p.disputed, p.net, p.open_disputes, p.method,
    p.card_brand, p.card_last4, p.booking_id, p.migrated, p.stripe_payment_intent_id, p.stripe_charge_id, p.reference,
    p.inferred_fields, p.flag,
    CASE WHEN p.status = 'succeeded' THEN p.paid_at END AS paid_at, p.created_at, b.booking_reference,
    coalesce(k.canonical_id, l.user_id) AS user_id, k.first_name, k.last_name
"""
PAYMENT_FROM = """
    booking_payment p LEFT JOIN booking_summary b USING (booking_id) LEFT JOIN booking_user l USING (booking_id)
    LEFT JOIN customer m ON m.user_id = l.user_id
    LEFT JOIN customer k ON k.user_id = coalesce(m.canonical_id, l.user_id)
"""
PAYMENT_SORTS: Mapping[str, str] = {
    "createdAt": "created_at",
    "paidAt": "paid_at",
    "amount": "amount",
    "refunded": "refunded",
    "status": "status",
    "method": "method",
    "currency": "currency",
}
_PAYMENT_FILTERS = {
    "status": "status = :status",
    "method": "method = :method",
    "currency": "currency = :currency",
    "least": "amount >= :least",
    "most": "amount <= :most",
    "created_from": "created_at >= :created_from",
    "created_to": "created_at < :created_to",
    "booking_id": "booking_id = :booking_id",
    "user_id": f"booking_id IN ({_THEIR_BOOKINGS})",
    "unmatched": "(booking_id IS NULL) = :unmatched",
    "refunded": "(refunded > 0) = :refunded",
    "disputed": "(disputed > 0 OR open_disputes > 0) = :disputed",
    "flag": "flag = :flag",
}
# By an id of its own, or through the words of its booking. The end of a range instead of LIKE: any plan uses the index.
PAYMENT_BY_CODE = """
    (payment_id = :code OR (stripe_payment_intent_id >= :code AND stripe_payment_intent_id < :code_end)
        OR (stripe_charge_id >= :code AND stripe_charge_id < :code_end))
"""
# What is shown of the customer is searched: the names of whom the booking's user counts as, beside the booking's own.
_BY_BOOKING = """
    booking_id IN (
        WITH named AS MATERIALIZED (
            SELECT DISTINCT coalesce(canonical_id, user_id) AS user_id FROM customer
            WHERE search @@ CAST(:words AS tsquery)
        )
        SELECT booking_id FROM booking_summary WHERE search @@ CAST(:words AS tsquery)
        UNION
        SELECT l.booking_id FROM named n JOIN booking_user l USING (user_id)
        UNION
        SELECT l.booking_id FROM named n JOIN customer m ON m.canonical_id = n.user_id
        JOIN booking_user l ON l.user_id = m.user_id)
"""
# Two ways in, each with its index: with OR between them PostgreSQL would read every payment.
_BY_CODE_OR_BOOKING = f"""
    payment_id IN (
        SELECT payment_id FROM booking_payment WHERE {PAYMENT_BY_CODE}
        UNION
        SELECT payment_id FROM booking_payment WHERE {_BY_BOOKING})
"""  # noqa: S608 - constants
_PAGE = """
    WITH page AS MATERIALIZED (
        SELECT payment_id FROM booking_payment WHERE {conditions}
        ORDER BY {key} {direction}, payment_id {direction} LIMIT :limit OFFSET :offset
    )
    SELECT {columns} FROM page JOIN ({source}) ON p.payment_id = page.payment_id
    ORDER BY p.{key} {direction}, p.payment_id {direction}
"""
_COUNT = "SELECT count(*) FROM booking_payment WHERE {conditions}"
_COUNT_ALL = "SELECT coalesce(sum(payments), 0) FROM payment_count"
_ALL = """
    SELECT {columns} FROM {source} WHERE p.payment_id IN (SELECT payment_id FROM booking_payment WHERE {conditions})
    ORDER BY p.{key} {direction}, p.payment_id {direction}
"""
_PAYMENTS_BY_ID = "SELECT {columns} FROM {source} WHERE p.payment_id = ANY(CAST(:ids AS text[]))"


_OF_BOOKINGS = {"columns": _BOOKING, "source": _BOOKING_FROM, "theirs": _THEIR_BOOKINGS}
_OF_PAYMENTS = {"columns": PAYMENT, "source": PAYMENT_FROM}
BOOKINGS_OF_USER = text(_BOOKINGS.format(**_OF_BOOKINGS))
BOOKINGS_OF_USER_TOTAL = text(_BOOKINGS_TOTAL.format(**_OF_BOOKINGS))
BOOKINGS_BY_ID = text(_BOOKINGS_BY_ID.format(**_OF_BOOKINGS))
PAYMENTS_BY_ID = text(_PAYMENTS_BY_ID.format(**_OF_PAYMENTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentsWanted:
    """Which payments, in which order; ``None`` is no restriction. Amounts are minor units of ``currency``."""

    search: str | None = None
    status: str | None = None
    method: str | None = None
    currency: str | None = None
    least: int | None = None
    most: int | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    booking_id: str | None = None
    user_id: UUID | None = None
    unmatched: bool | None = None
    refunded: bool | None = None
    disputed: bool | None = None
    flag: str | None = None
    sort: str = "createdAt"
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Records:
    """A page of bookings or payments; ``total`` counts all that match."""

    rows: Sequence[RowMapping]
    total: int


async def bookings_of(engine: AsyncEngine, user_id: UUID, *, limit: int, offset: int) -> Records:
    """Return the bookings of a user and of all merged with them, newest first."""
    bound = {"user_id": user_id, "limit": limit, "offset": offset}
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        rows = (await connection.execute(BOOKINGS_OF_USER, bound)).mappings().all()
        if rows:
            return Records(rows, rows[0]["total"])
        return Records([], int((await connection.execute(BOOKINGS_OF_USER_TOTAL, {"user_id": user_id})).scalar_one()))


async def find_payments(engine: AsyncEngine, wanted: PaymentsWanted, *, limit: int, offset: int) -> Records:
    """Return a page of payments and how many match."""
    conditions, bound = _conditions(wanted)
    page = _statement(_PAGE, wanted, conditions)
    counted = text(_COUNT.format(conditions=conditions) if bound or wanted.search else _COUNT_ALL)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        total = int((await connection.execute(counted, bound)).scalar_one())
        rows = (await connection.execute(page, {**bound, "limit": limit, "offset": offset})).mappings().all()
    return Records(rows, total)


async def every_payment(engine: AsyncEngine, wanted: PaymentsWanted) -> AsyncIterator[RowMapping]:
    """Go through all payments that match, in their order, without holding them all."""
    conditions, bound = _conditions(wanted)
    async with engine.connect() as connection:
        query = _statement(_ALL, wanted, conditions).execution_options(yield_per=500)
        async for row in (await connection.stream(query, bound)).mappings():
            yield row


async def payment(engine: AsyncEngine, payment_id: UUID) -> RowMapping:
    """Return one payment; raises :class:`NoSuchPayment`."""
    async with engine.connect() as connection:
        rows = await payments_by_id(connection, [str(payment_id)])
    if not rows:
        raise NoSuchPayment(payment_id)
    return rows[0]


async def payments_by_id(connection: AsyncConnection, ids: Sequence[str]) -> Sequence[RowMapping]:
    return (await connection.execute(PAYMENTS_BY_ID, {"ids": list(ids)})).mappings().all()


def _conditions(wanted: PaymentsWanted) -> tuple[str, dict[str, Any]]:
    bound = {name: value for name in _PAYMENT_FILTERS if (value := getattr(wanted, name)) is not None}
    conditions = ["true", *(_PAYMENT_FILTERS[name] for name in bound)]
    if wanted.search:
        found, named = search_condition(Query(wanted.search))
        conditions.append(found)
        bound |= named
    return " AND ".join(conditions), bound


def search_condition(query: Query) -> tuple[str, dict[str, Any]]:
    """Return how a payment is found by what somebody typed, and what that binds."""
    if query.is_empty:
        return "false", {}
    if query.code:
        bound = {"words": query.begun(), **code_range(query.code)}
        return _BY_CODE_OR_BOOKING, bound
    return _BY_BOOKING, {"words": query.begun()}


def code_range(code: str) -> dict[str, str]:
    """Return the bounds of every id that begins with ``code``; of none, for no code."""
    return {"code": code, "code_end": f"{code}\U0010ffff" if code else ""}


def _statement(template: str, wanted: PaymentsWanted, conditions: str) -> TextClause:
    return text(
        template.format(
            **_OF_PAYMENTS,
            conditions=conditions,
            key=PAYMENT_SORTS[wanted.sort],
            direction=_direction(wanted),
        )
    )


def _direction(wanted: PaymentsWanted) -> str:
    """What is missing counts as the smallest. Only a method can be; the index on times has PostgreSQL's own order."""
    if wanted.sort == "method":
        return "DESC NULLS LAST" if wanted.descending else "ASC NULLS FIRST"
    return "DESC" if wanted.descending else "ASC"
