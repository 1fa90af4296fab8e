"""Legacy rows locked without waiting for who holds them: the legacy application never waits for us, nor we for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.legacy_table import LegacyTable, statement

# The rows that can be had now. The later statements of the transaction write to these alone, so none of them waits.
_HOLD = """
    SELECT CAST(b.{id} AS text) AS id, lower(CAST(b.{status} AS text)) AS status FROM {table} b
    WHERE b.{id} = ANY(CAST(CAST(:ids AS text[]) AS {id_type}[])) FOR NO KEY UPDATE OF b SKIP LOCKED
"""
_EXISTING = """
    SELECT CAST(b.{id} AS text) FROM {table} b WHERE b.{id} = ANY(CAST(CAST(:ids AS text[]) AS {id_type}[]))
"""


@dataclass(frozen=True, slots=True)
class Held:
    """The legacy rows of a page: those locked for us with their status, and those that are not there."""

    statuses: dict[str, str]
    missing: Sequence[str]

    @property
    def settled(self) -> list[str]:
        """The bookings that are done with after this transaction; the others come again."""
        return [*self.statuses, *self.missing]


async def hold(connection: AsyncConnection, table: LegacyTable, ids: Sequence[str]) -> Held:
    """Lock which of the rows can be locked at once, and tell locked elsewhere from not there."""
    possible = {"ids": [booking_id for booking_id in ids if table.can_be_id(booking_id)]}
    statuses = {row.id: row.status for row in await connection.execute(statement(_HOLD, table), possible)}
    existing = set((await connection.execute(statement(_EXISTING, table), possible)).scalars())
    return Held(statuses, [booking_id for booking_id in ids if booking_id not in existing])
