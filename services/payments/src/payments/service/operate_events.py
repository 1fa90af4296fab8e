"""What an operator does with stored events: look, and try again."""

from collections.abc import Sequence

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

_LIST = text(
    """
    SELECT id, type, state, attempts, received_at, next_attempt_at, error FROM stripe_event
    WHERE NOT :failed OR state = 'failed'
    ORDER BY received_at DESC LIMIT :limit
    """
)
# Due at once and with all attempts again; an event that took effect is never applied twice by this.
_RETRY = text(
    """
    UPDATE stripe_event SET next_attempt_at = now(), attempts = 0
    WHERE id = :id AND state IN ('failed', 'quarantined')
    """
)


async def list_events(engine: AsyncEngine, *, failed: bool, limit: int) -> Sequence[Row[tuple[object, ...]]]:
    """Return the latest stored events, only failed ones when said."""
    async with engine.connect() as connection:
        return (await connection.execute(_LIST, {"failed": failed, "limit": limit})).all()


async def retry_event(engine: AsyncEngine, id_: str) -> bool:
    """Make a failed or quarantined event due again and commit; ``False`` when there is none of that id."""
    async with engine.begin() as connection:
        return (await connection.execute(_RETRY, {"id": id_})).rowcount > 0
