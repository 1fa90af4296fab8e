"""What the parallel run found, and who is on the new path."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_REPORT = text(
    """
    SELECT json_build_object(
        'compared', (SELECT json_build_object(
            'comparisons', coalesce(sum(comparisons), 0), 'rows', coalesce(sum(rows), 0),
            'rowsDifferent', coalesce(sum(rows_different), 0), 'failures', coalesce(sum(failures), 0),
            'since', min(day)) FROM shadow_run),
        'differences', coalesce((SELECT json_agg(json_build_object(
            'field', field, 'kind', kind, 'count', count, 'firstSeen', first_seen, 'lastSeen', last_seen,
            'bookingIds', booking_ids, 'oldHashes', old_hashes, 'newHashes', new_hashes)
            ORDER BY count DESC, field, kind) FROM shadow_difference), '[]'),
        'flips', coalesce((SELECT json_agg(json_build_object(
            'flag', flag, 'at', at, 'before', before, 'after', after) ORDER BY id DESC)
            FROM (SELECT * FROM rollout_event ORDER BY id DESC LIMIT 50) newest), '[]'))
    """
)


async def report(connection: AsyncConnection) -> dict[str, Any]:
    """Return what was compared, what differed (grouped by field, values hashed) and the newest fifty flips."""
    found: dict[str, Any] = (await connection.execute(_REPORT)).scalar_one()
    return found
