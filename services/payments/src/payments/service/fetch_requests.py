"""Objects to be read from Stripe's API because events leave a doubt."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Kind = Literal["payment_intent", "charge", "refund", "dispute", "checkout_session", "refunds"]

# Sorted, so that overlapping groups wait for each other instead of deadlocking. Asking again makes it due again: what
# was asked before may have been answered before the new doubt arose.
_ASK = text(
    """
    INSERT INTO fetch_request (object_id, kind, reason, requested_at)
    SELECT object_id, kind, reason, clock_timestamp()
    FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[]), CAST(:reasons AS text[])) AS f (object_id, kind, reason)
    ORDER BY object_id, kind
    ON CONFLICT (object_id, kind) DO UPDATE
    SET reason = excluded.reason, requested_at = excluded.requested_at, done_at = NULL
    """
)


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One object to be read; of kind ``refunds``: all refunds of the charge ``object_id``."""

    object_id: str
    kind: Kind
    reason: str


async def ask(connection: AsyncConnection, requests: Iterable[FetchRequest]) -> None:
    """Make reads due; the caller commits. Of several reasons for one read the last is kept."""
    wanted = {(each.object_id, each.kind): each for each in requests}
    if wanted:
        columns = {
            "ids": [each.object_id for each in wanted.values()],
            "kinds": [each.kind for each in wanted.values()],
            "reasons": [each.reason for each in wanted.values()],
        }
        await connection.execute(_ASK, columns)
