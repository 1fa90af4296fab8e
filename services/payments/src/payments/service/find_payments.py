"""Find payments: by filters, newest first, page by page; and one payment with all that is known of it."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments.errors import NoSuchPayment
from shared.refusals import UnusableCursor

_SELECT = """
    SELECT p.*, h.reference AS booking_reference, m.id IS NOT NULL AS manual
    FROM payment p
    LEFT JOIN booking_hint h ON h.booking_id = p.booking_id
    LEFT JOIN manual_payment m ON m.id = p.id
    WHERE p.currency IS NOT NULL
"""
# Only those that were asked for stand in the statement, so each has a plan of its own.
_CONDITIONS: Mapping[str, str] = {
    "status": "p.status = :status",
    "method": "p.method = :method",
    "currency": "p.currency = :currency",
    "least": "p.amount >= :least",
    "most": "p.amount <= :most",
    "created_from": "p.created_at >= :created_from",
    "created_to": "p.created_at < :created_to",
    "booking_id": "p.booking_id = :booking_id",
    # Theirs and those of everybody who counts as them; UNION ends at a circle.
    "user_id": """p.user_id IN (
        WITH RECURSIVE counted AS (
            SELECT CAST(:user_id AS text) AS user_id
            UNION
            SELECT m.user_id FROM user_merge m JOIN counted c ON m.merged_into = c.user_id
        )
        SELECT user_id FROM counted
    )""",
    "unmatched": "p.booking_id IS NULL AND p.status <> 'created' AND :unmatched",
    "text": """(
        p.id::text = :text OR p.stripe_payment_intent_id = :text OR p.stripe_charge_id = :text
        OR p.booking_id = :text OR p.booking_keys @> ARRAY[CAST(:text AS text)]
        OR p.booking_id IN (SELECT booking_id FROM booking_hint WHERE reference = :text)
        OR p.id IN (SELECT id FROM manual_payment WHERE reference = :text)
        OR p.id IN (SELECT payment_id FROM stripe_object WHERE id = :text)
    )""",
    "before": "(p.created_at, p.id) < (:before_time, :before_id)",
}
_PART_OF_DETAIL: Mapping[str, TextClause] = {
    "refunds": text("SELECT * FROM refund WHERE payment_id = :id ORDER BY event_created, id"),
    "disputes": text("SELECT * FROM dispute WHERE payment_id = :id ORDER BY event_created, id"),
    "refund_requests": text("SELECT * FROM refund_request WHERE payment_id = :id ORDER BY requested_at, id"),
    "matches": text("SELECT * FROM payment_match WHERE payment_id = :id ORDER BY id"),
    "manual": text("SELECT * FROM manual_payment WHERE id = :id"),
    "history": text(
        "SELECT canceled_by, canceled_at, cancel_reason FROM booking_evidence WHERE payment_id = :id"
        " AND canceled_at IS NOT NULL"
    ),
    "changes": text(
        """
        SELECT sequence, type, time, body -> 'data' AS snapshot FROM event_log
        WHERE subject = CAST(CAST(:id AS uuid) AS text) ORDER BY sequence
        """
    ),
    "deliveries": text(
        """
        SELECT d.id, d.event_id, d.received_at, d.source, e.type, e.created, e.state, e.object_id
        FROM stripe_object o
        JOIN stripe_event e ON e.object_id = o.id
        JOIN stripe_delivery d ON d.event_id = e.id
        WHERE o.payment_id = :id ORDER BY d.id
        """
    ),
}
Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Filters, all of which must hold; ``None`` is no filter. Amounts are minor units; the end of a time is exclusive.

    ``text`` is exactly one of: a payment, intent, charge or refund id, a booking's id or reference, or the reference
    of a manual payment.
    """

    status: str | None = None
    method: str | None = None
    currency: str | None = None
    least: int | None = None
    most: int | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    booking_id: str | None = None
    user_id: str | None = None
    unmatched: bool | None = None
    text: str | None = None

    def given(self) -> dict[str, object]:
        pairs = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in pairs if value is not None}


@dataclass(frozen=True, slots=True)
class Page:
    """Payments, newest first, and where the next page begins, if there is one."""

    payments: Sequence[Found]
    next: str | None


async def find_payments(engine: AsyncEngine, wanted: Wanted, *, limit: int, cursor: str | None = None) -> Page:
    """Return a page; raises :class:`UnusableCursor`. New payments never shift a later page: it is cut by its rows."""
    values = wanted.given()
    names = [*values]
    if cursor is not None:
        names.append("before")
        values["before_time"], values["before_id"] = _decode(cursor)
    async with engine.connect() as connection:
        found = await connection.execute(_statement(tuple(names)), {**values, "limit": limit + 1})
        rows = [dict(row) for row in found.mappings()]
    more = len(rows) > limit
    return Page(rows[:limit], _encode(rows[limit - 1]) if more else None)


async def show_payment(engine: AsyncEngine, id_: UUID) -> tuple[Found, dict[str, Sequence[Found]]]:
    """Return a payment and its parts: refunds, requests, disputes, deliveries, changes … Raises ``NoSuchPayment``."""
    async with engine.connect() as connection:
        found = [dict(row) for row in (await connection.execute(_one(), {"id": id_})).mappings()]
        if not found:
            raise NoSuchPayment(id_)
        parts = {name: await _rows(connection, part, id_) for name, part in _PART_OF_DETAIL.items()}
    return found[0], parts


async def _rows(connection: AsyncConnection, statement: TextClause, id_: UUID) -> Sequence[Found]:
    return [dict(row) for row in (await connection.execute(statement, {"id": id_})).mappings()]


@lru_cache(maxsize=256)
def _statement(names: tuple[str, ...]) -> TextClause:
    conditions = "".join(f" AND {_CONDITIONS[name]}" for name in names)
    return text(f"{_SELECT}{conditions} ORDER BY p.created_at DESC, p.id DESC LIMIT :limit")


@lru_cache(maxsize=1)
def _one() -> TextClause:
    return text(f"{_SELECT} AND p.id = :id")


def _encode(row: Found) -> str:
    return base64.urlsafe_b64encode(f"{row['created_at'].isoformat()} {row['id']}".encode()).decode()


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        time, id_ = base64.urlsafe_b64decode(cursor).decode().rsplit(" ", 1)
        moment = datetime.fromisoformat(time)
        if moment.tzinfo is None or not 1900 < moment.year < 9999:
            raise UnusableCursor
        return moment, UUID(id_)
    except (binascii.Error, ValueError):
        raise UnusableCursor from None
