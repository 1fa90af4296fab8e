"""A booking's line in the audit: the legacy row before and after, by the default layout's names."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.access import audit
from bookings_gateway.access.actor import Actor
from bookings_gateway.domain import DEFAULT_LAYOUT, Layout, read_row


async def record(connection: AsyncConnection, actor: Actor, layout: Layout, action: str, written: Row[Any]) -> None:
    """Write the line of a write that answered its row ``before`` and ``after``, in the write's transaction."""
    before, after = _image(written.before, layout), _image(written.after, layout)
    entity = f"booking/{(after or before or {}).get(DEFAULT_LAYOUT.id)}"
    await audit.record(connection, actor, action=f"booking.{action}", entity=entity, before=before, after=after)


def _image(row: str | None, layout: Layout) -> Mapping[str, Any] | None:
    return _named(read_row(row), layout) if row is not None else None


def _named(row: Mapping[str, Any], layout: Layout) -> Mapping[str, Any]:
    """What the audit may keep goes by the default layout's names; a column that only has such a name is not it.

    The time of the change is the line's own, and the user's id no part of the booking.
    """
    names = {column: DEFAULT_LAYOUT.columns.get(field, field) for field, column in layout.columns.items()}
    left_out = {layout.updated_at, layout.user_id}
    return {names.get(name, f"column {name}"): value for name, value in row.items() if name not in left_out}
