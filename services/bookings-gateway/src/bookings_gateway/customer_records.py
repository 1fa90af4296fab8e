"""Bookings and payments as the admin sees them beside a user, and the list of all payments. From the read model."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.errors import NoSuchPayment, TooManyToSort
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
# What is sorted by is read of all their bookings, the rest of those on the page alone.
_BOOKINGS = """
    WITH theirs AS MATERIALIZED ({theirs}), page AS MATERIALIZED (
        SELECT b.booking_id, row_number() OVER (ORDER BY {key} {direction}, b.booking_id) AS place,
               count(*) OVER () AS total
        FROM {keys} WHERE b.booking_id IN (SELECT booking_id FROM theirs) AND {conditions}
        ORDER BY place LIMIT :limit OFFSET :offset
    )
    SELECT {columns}, page.total FROM page JOIN ({source}) ON b.booking_id = page.booking_id ORDER BY page.place
"""
_BOOKINGS_TOTAL = "SELECT count(*) FROM booking_summary b WHERE {conditions} AND b.booking_id IN ({theirs})"
BOOKING_SORTS: Mapping[str, str] = {
    "id": "b.booking_id",
    "bookingReference": "b.booking_reference",
    "status": "lower(b.status)",
    "paymentStatus": PAYMENT_STATUS,
    "userId": "coalesce(k.canonical_id, l.user_id)",
    "customerName": "nullif(lower(concat_ws(' ', b.first_name, b.last_name)), '')",
    "customerEmail": "lower(b.email)",
    "phone": "b.phone",
    "companyName": "lower(b.company)",
    "finalAmount": "b.final_amount",
    "currency": "b.currency",
    "paymentDate": "b.payment_date",
    "paymentMethod": "b.payment_method",
    "paymentReference": "b.payment_reference",
    "createdAt": "b.created_at",
    "updatedAt": "b.updated_at",
}
_OF_OTHER_TABLES = frozenset(["paymentStatus", "userId"])
_BOOKING_FILTERS = {
    "status": "lower(b.status) = lower(:status)",
    "created_from": "b.created_at >= :created_from",
    "created_to": "b.created_at < :created_to",
}
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
# What payments are sorted by that no index has, or that stands in other tables: so the payments that match are sorted,
# and they may not be too many. Nothing counts as the smallest.
SORTED_WHOLE: Mapping[str, str] = {
    "id": "p.payment_id",
    "received": "p.received",
    "disputed": "p.disputed",
    "net": "p.net",
    "openDisputes": "p.open_disputes",
    "cardBrand": "p.card_brand",
    "cardLast4": "p.card_last4",
    "bookingId": "p.booking_id",
    "bookingReference": "b.booking_reference",
    "userId": "coalesce(k.canonical_id, l.user_id)",
    "customerName": "nullif(k.name_key, '')",
    "reference": "p.reference",
    "stripePaymentIntentId": "p.stripe_payment_intent_id",
    "stripeChargeId": "p.stripe_charge_id",
    "migrated": "p.migrated",
    "inferredFields": "CAST(p.inferred_fields AS text)",
    "flag": "p.flag",
}
MOST_SORTED = 20_000
_NOTHING_SMALLEST = {True: "DESC NULLS LAST", False: "ASC NULLS FIRST"}
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
_PAGE_OF_FEW = """
    SELECT {columns} FROM {source} WHERE p.payment_id IN (SELECT payment_id FROM booking_payment WHERE {conditions})
    ORDER BY {key} {direction}, p.payment_id {direction} LIMIT :limit OFFSET :offset
"""
_COUNT = "SELECT count(*) FROM booking_payment WHERE {conditions}"
_COUNT_ALL = "SELECT coalesce(sum(payments), 0) FROM payment_count"
_ALL = """
    SELECT {columns} FROM {source} WHERE p.payment_id IN (SELECT payment_id FROM booking_payment WHERE {conditions})
    ORDER BY {key} {direction}, p.payment_id {direction}
"""
_PAYMENTS_BY_ID = "SELECT {columns} FROM {source} WHERE p.payment_id = ANY(CAST(:ids AS text[]))"


_OF_BOOKINGS = {"columns": _BOOKING, "source": _BOOKING_FROM, "theirs": _THEIR_BOOKINGS}
_OF_PAYMENTS = {"columns": PAYMENT, "source": PAYMENT_FROM}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingsWanted:
    """Which bookings of a user, in which order; ``None`` is no restriction."""

    status: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    sort: str = "createdAt"
    descending: bool = True


NEWEST_BOOKINGS = BookingsWanted()


@dataclass(frozen=True, slots=True)
class Records:
    """A page of bookings or payments; ``total`` counts all that match."""

    rows: Sequence[RowMapping]
    total: int


async def bookings_of(
    engine: AsyncEngine, user_id: UUID, wanted: BookingsWanted = NEWEST_BOOKINGS, *, limit: int, offset: int
) -> Records:
    """Return the bookings of a user and of all merged with them."""
    given = {name: value for name in _BOOKING_FILTERS if (value := getattr(wanted, name)) is not None}
    names = {
        **_OF_BOOKINGS,
        "conditions": " AND ".join(["NOT b.deleted", *(_BOOKING_FILTERS[name] for name in given)]),
        "key": BOOKING_SORTS[wanted.sort],
        "keys": _BOOKING_FROM if wanted.sort in _OF_OTHER_TABLES else "booking_summary b",
        "direction": _NOTHING_SMALLEST[wanted.descending],
    }
    bound = {**given, "user_id": user_id}
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        page = {**bound, "limit": limit, "offset": offset}
        rows = (await connection.execute(text(_BOOKINGS.format(**names)), page)).mappings().all()
        if rows:
            return Records(rows, rows[0]["total"])
        return Records([], int((await connection.execute(text(_BOOKINGS_TOTAL.format(**names)), bound)).scalar_one()))


async def find_payments(engine: AsyncEngine, wanted: PaymentsWanted, *, limit: int, offset: int) -> Records:
    """Return a page of payments and how many match. Raises :class:`TooManyToSort`."""
    conditions, bound = _conditions(wanted)
    page = _statement(_PAGE_OF_FEW if wanted.sort in SORTED_WHOLE else _PAGE, wanted, conditions)
    counted = text(_COUNT.format(conditions=conditions) if bound or wanted.search else _COUNT_ALL)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        total = int((await connection.execute(counted, bound)).scalar_one())
        if wanted.sort in SORTED_WHOLE and total > MOST_SORTED:
            raise TooManyToSort(wanted.sort, total, MOST_SORTED)
        rows = (await connection.execute(page, {**bound, "limit": limit, "offset": offset})).mappings().all()
    return Records(rows, total)


async def every_payment(engine: AsyncEngine, wanted: PaymentsWanted) -> AsyncIterator[RowMapping]:
    """Go through all payments that match, in their order, without holding them all."""
    conditions, bound = _conditions(wanted)
    async with engine.connect() as connection:
        query = _statement(_ALL, wanted, conditions, table="p.").execution_options(yield_per=500)
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


def _statement(template: str, wanted: PaymentsWanted, conditions: str, *, table: str = "") -> TextClause:
    return text(
        template.format(
            **_OF_PAYMENTS,
            conditions=conditions,
            key=SORTED_WHOLE.get(wanted.sort) or f"{table}{PAYMENT_SORTS[wanted.sort]}",
            direction=_direction(wanted),
        )
    )


def _direction(wanted: PaymentsWanted) -> str:
    """What is missing counts as the smallest. Where nothing can be, the index on times has PostgreSQL's own order."""
    if wanted.sort in PAYMENT_SORTS and wanted.sort != "method":
        return "DESC" if wanted.descending else "ASC"
    return _NOTHING_SMALLEST[wanted.descending]
