"""Who did what, before and after. Values are kept of the fields named here alone; of others, that they changed.

So nothing medical, of participants or of customers gets in, whatever somebody hands over, and nothing needs to be
found and removed when a person is erased.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.access.actor import Actor

REDACTED = "[redacted]"
_LONGEST_VALUE = 100

KEPT = frozenset(
    [
        # bookings, in the default layout's names
        *("id", "bookingReference", "status", "finalAmount", "paymentDate", "paymentMethod", "createdAt"),
        # accounts and tokens
        *("role", "disabled", "revoked", "expires_at"),
        # what other writes name
        *("kind", "channel", "direction", "internal", "amount", "currency", "booking_id", "user_id", "payment_id"),
        *("received", "refunded", "total_bookings", "placeholder"),
        *("merged_into", "rows", "state", "enabled", "percentage", "mode"),
    ]
)

# Of free text these words alone: Stripe's reasons for a refund, and those an erasure is kept with. Any other reason is
# with the service that was asked, and goes with the person.
WORDS: Mapping[str, frozenset[str]] = {
    "reason": frozenset(
        ["requested_by_customer", "duplicate", "fraudulent", "requested", "court_order", "retention_ended", "other"]
    )
}

_RECORD = text(
    """
    INSERT INTO audit (actor_id, actor, role, action, entity, before, after, correlation_id, outcome)
    VALUES (:actor_id, :actor, :role, :action, :entity, CAST(:before AS jsonb), CAST(:after AS jsonb),
            :correlation_id, :outcome)
    RETURNING id
    """
)
_SETTLE = text("UPDATE audit SET outcome = :outcome, entity = :entity, after = CAST(:after AS jsonb) WHERE id = :id")
# Every filter that is given has to hold. Newest first, and a page goes on below the last id of the one before.
_FIND = """
    SELECT id, at, actor_id, actor, role, action, entity, before, after, correlation_id, outcome FROM audit
    WHERE {conditions} ORDER BY id DESC LIMIT :limit
"""
_CONDITIONS = {
    "below": "id < :below",
    "actor_id": "actor_id = :actor_id",
    "action": "action = :action",
    "entity": "entity = :entity",
    "outcome": "outcome = :outcome",
    "since": "at >= :since",
    "until": "at < :until",
}

Values = Mapping[str, Any]


class Outcome(StrEnum):
    """What came of a write; of one that another service was asked for, nobody may ever have heard."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


async def record(
    connection: AsyncConnection,
    actor: Actor,
    *,
    action: str,
    entity: str,
    before: Values | None = None,
    after: Values | None = None,
    outcome: Outcome = Outcome.DONE,
) -> int:
    """Write one line, in the caller's transaction, and return its id: what is not done is not recorded.

    ``entity`` is ``kind/id``. Of ``before`` and ``after`` only what differs is kept, and only values of :data:`KEPT`.
    """
    was, becomes = changes(before, after)
    line = {
        "actor_id": actor.id,
        "actor": actor.name,
        "role": actor.role,
        "action": action,
        "entity": entity,
        "before": _json(was),
        "after": _json(becomes),
        "correlation_id": structlog.contextvars.get_contextvars().get("correlation_id"),
        "outcome": outcome,
    }
    id_: int = (await connection.execute(_RECORD, line)).scalar_one()
    return id_


async def settle(
    connection: AsyncConnection,
    id_: int,
    outcome: Outcome,
    *,
    entity: str,
    before: Values | None = None,
    after: Values | None,
) -> None:
    """Complete a line whose outcome was unknown, in the caller's transaction; ``before`` is what it has already."""
    _, becomes = changes(before, after)
    await connection.execute(_SETTLE, {"id": id_, "outcome": outcome, "entity": entity, "after": _json(becomes)})


def _json(values: Values | None) -> str | None:
    return None if values is None else json.dumps(values)


def changes(before: Values | None, after: Values | None) -> tuple[Values | None, Values | None]:
    """Return both sides without what is the same in them, every value fit to be kept."""
    if before is not None and after is not None:
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        before = {name: before[name] for name in names if name in before}
        after = {name: after[name] for name in names if name in after}
    return _redacted(before), _redacted(after)


def _redacted(values: Values | None) -> Values | None:
    if values is None:
        return None
    return {name: _kept(value) if _may_be_kept(name, value) else _there(value) for name, value in values.items()}


def _may_be_kept(name: str, value: object) -> bool:
    return name in KEPT or (isinstance(value, str) and value in WORDS.get(name, ()))


def _there(value: object) -> str | None:
    return None if value is None else REDACTED


def _kept(value: object) -> str | int | None:
    """A plain value; text longer than any word of ours is somebody's prose."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, str | Decimal | UUID) and len(str(value)) <= _LONGEST_VALUE:
        return str(value).replace("\x00", "").encode(errors="replace").decode()  # jsonb holds neither
    return REDACTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines; ``None`` means no restriction. ``below`` is the last id of the page before."""

    below: int | None = None
    actor_id: UUID | None = None
    action: str | None = None
    entity: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50


async def find(engine: AsyncEngine, wanted: Wanted) -> Sequence[RowMapping]:
    """Return lines, newest first."""
    given = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
    conditions = " AND ".join(_CONDITIONS[name] for name in given) or "true"
    query = text(_FIND.format(conditions=conditions))
    async with engine.connect() as connection:
        return (await connection.execute(query, {**given, "limit": wanted.limit})).mappings().all()
