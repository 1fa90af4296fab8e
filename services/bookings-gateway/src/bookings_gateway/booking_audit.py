"""A booking's line in the audit: the legacy row before and after, by the default layout's names."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.access import audit
from bookings_gateway.access.actor import Actor
from bookings_gateway.domain import DEFAULT_LAYOUT, Layout, read_row
from bookings_gateway.legacy_table import USER_ID, LegacyTable, statement

# Locked, so that what is read here is what the write that follows changes.
_IMAGE = """
    SELECT CAST(row_to_json(b) AS text) FROM {table} b
    WHERE b.{id} = CAST(CAST(:id AS text) AS {id_type}) FOR NO KEY UPDATE OF b
"""


async def image(connection: AsyncConnection, table: LegacyTable, id_: str) -> Mapping[str, Any] | None:
    """Return the row as it is now, locked; ``None`` when there is none."""
    row = (await connection.execute(statement(_IMAGE, table), {"id": id_})).scalar_one_or_none()
    return _named(read_row(row), table.layout) if row is not None else None


async def record(
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write the line, in the transaction of the write."""
    entity = f"booking/{(after or before or {}).get(DEFAULT_LAYOUT.id)}"
    await audit.record(connection, actor, action=f"booking.{action}", entity=entity, before=before, after=after)


def _named(row: Mapping[str, Any], layout: Layout) -> Mapping[str, Any]:
    """What the audit may keep goes by the default layout's names; a column that only has such a name is not it.

    The time of the change is the line's own, and the user's id no part of the booking.
    """
    names = {getattr(layout, field): getattr(DEFAULT_LAYOUT, field) for field in layout.__slots__}
    left_out = {layout.updated_at, USER_ID}
    return {names.get(name, f"column {name}"): value for name, value in row.items() if name not in left_out}
