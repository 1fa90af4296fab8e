"""Who decided what about whom, when and why."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Merging, unmerging and erasing take turns: each reads the whole chain of merges, which no row lock covers, so two of
# them at once could close a circle.
_TAKE_TURN = text("SELECT pg_advisory_xact_lock(7301955021)")
_RECORD = text(
    """
    INSERT INTO audit (by, action, user_id, other_id, reason, before, after)
    VALUES (:by, :action, :user_id, :other_id, :reason, CAST(:before AS jsonb), CAST(:after AS jsonb))
    """
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decides, and why."""

    by: str | None
    reason: str | None = None


async def take_turn(connection: AsyncConnection) -> None:
    """Wait until no other merge, unmerge or erasure is under way; held to the end of the transaction."""
    await connection.execute(_TAKE_TURN)


async def record(
    connection: AsyncConnection,
    decision: Decision,
    *,
    action: str,
    user_id: UUID,
    other_id: UUID | None = None,
    before: Mapping[str, object],
    after: Mapping[str, object],
) -> None:
    """Keep a decision in the transaction of its effect."""
    await connection.execute(
        _RECORD,
        {
            "by": decision.by or "unknown",
            "action": action,
            "user_id": user_id,
            "other_id": other_id,
            "reason": decision.reason,
            "before": json.dumps(before),
            "after": json.dumps(after),
        },
    )
