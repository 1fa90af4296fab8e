"""Links of bookings whose import was taken back: let go of, and brought back with the booking's next version.

Users say whose a booking is once, whatever versions it had; so their word is kept while the link is let go of. Both
ways happen in capture's turn, in which nobody else tells a newer version: a link is let go of exactly while its
booking's newest version is the taking back, in whatever order links and versions come. Nobody commits here.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_OF_THESE = text(
    """
    SELECT booking_id FROM import_item
    WHERE outcome = 'withdrawn' AND booking_id = ANY(CAST(:ids AS text[]))
    """
)
# written = false has the write-back empty the row. A booking somebody told of since keeps its link, and so does one
# that was told again as it was before the import.
_LET_GO_OF = """
    UPDATE booking_user u SET let_go_of = u.user_id, user_id = NULL, written = false
    FROM import_item i
    WHERE i.booking_id = u.booking_id AND i.outcome = 'withdrawn' AND u.user_id IS NOT NULL AND {which}
      AND (SELECT n.sequence = i.sequence + 1 AND n.type = 'booking.deleted' FROM event_log n
           WHERE n.subject = i.booking_id ORDER BY n.sequence DESC LIMIT 1)
    RETURNING u.booking_id
"""
_LET_GO = text(_LET_GO_OF.format(which="u.booking_id = ANY(CAST(:ids AS text[]))"))
_LET_ALL_GO = text(_LET_GO_OF.format(which="true"))
# Of the few there are, by their own index.
_BRING_BACK = text(
    """
    UPDATE booking_user SET user_id = let_go_of, let_go_of = NULL, written = false
    WHERE let_go_of IS NOT NULL AND booking_id = ANY(CAST(:ids AS text[]))
    """
)


async def taken_back(connection: AsyncConnection, ids: Sequence[str]) -> list[str]:
    """Return which of these bookings an import told of and a rollback took back, whatever was told of them since."""
    return list((await connection.execute(_OF_THESE, {"ids": list(ids)})).scalars())


async def let_go(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    """Undo the links of those of these bookings that are taken back, and return which; the caller has the turn."""
    return set((await connection.execute(_LET_GO, {"ids": list(ids)})).scalars())


async def let_all_go(connection: AsyncConnection) -> None:
    """Undo the links of all bookings that are taken back; the caller has the turn."""
    await connection.execute(_LET_ALL_GO)


async def bring_back(connection: AsyncConnection, ids: Collection[str]) -> None:
    """Give bookings their links again that were let go of; the caller has the turn, and tells a newer version."""
    await connection.execute(_BRING_BACK, {"ids": list(ids)})
