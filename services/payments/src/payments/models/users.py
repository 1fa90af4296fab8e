"""Who counts as whom, and who was erased."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# The newest version stands whatever order they come in. Sorted, so that overlapping groups wait for each other.
_ADD_MERGES = text(
    """
    INSERT INTO user_merge (user_id, merged_into, sequence)
    SELECT user_id, merged_into, sequence
    FROM unnest(CAST(:users AS text[]), CAST(:into AS text[]), CAST(:sequences AS bigint[]))
        AS m (user_id, merged_into, sequence)
    ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET merged_into = excluded.merged_into, sequence = excluded.sequence
    WHERE user_merge.sequence < excluded.sequence
    """
)
_ADD_ERASURES = text(
    """
    INSERT INTO user_erasure (user_id, erased_at)
    SELECT user_id, erased_at FROM unnest(CAST(:users AS text[]), CAST(:times AS timestamptz[]))
        AS e (user_id, erased_at)
    ORDER BY user_id
    ON CONFLICT DO NOTHING
    """
)


async def add_merges(connection: AsyncConnection, merges: Mapping[str, tuple[int, str | None]]) -> None:
    """Remember whom users count as, by sequence and target; ``None`` is nobody but themselves."""
    if not merges:
        return
    rows = sorted(merges.items())
    columns = {
        "users": [user for user, _ in rows],
        "into": [into for _, (_, into) in rows],
        "sequences": [sequence for _, (sequence, _) in rows],
    }
    await connection.execute(_ADD_MERGES, columns)


async def add_erasures(connection: AsyncConnection, erased: Mapping[str, datetime]) -> None:
    """Remember that these users' personal data is not to be kept."""
    if erased:
        rows = sorted(erased.items())
        columns = {"users": [user for user, _ in rows], "times": [time for _, time in rows]}
        await connection.execute(_ADD_ERASURES, columns)
