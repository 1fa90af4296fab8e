"""Legacy rows rewritten for somebody else: not the erased person's any more, though the link still says so."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.domain import Layout, read_contact, read_row, read_time
from bookings_gateway.legacy_table import LegacyTable, statement
from shared.emails import address_digest, normalise_email

_ROWS = """
    SELECT CAST(b.{id} AS text) AS id, CAST(row_to_json(b) AS text) AS body FROM {table} b
    WHERE b.{id} = ANY(CAST(CAST(:ids AS text[]) AS {id_type}[]))
"""
# A row an operator corrected says another address than its booking's; a person without a digest had none we knew of.
# Of one that came by a change set aside the address is all that is known.
_KNOWN = text(
    """
    SELECT booking_id FROM (
        SELECT b.booking_id FROM booking_user b JOIN customer c USING (user_id)
        WHERE b.booking_id = ANY(CAST(:ids AS text[])) AND c.erased_digest IS NOT NULL
        UNION
        SELECT f.booking_id FROM booking_change_failed f WHERE f.booking_id = ANY(CAST(:ids AS text[]))
    ) known
    WHERE NOT EXISTS (SELECT FROM import_item i WHERE i.booking_id = known.booking_id AND i.correction IS NOT NULL)
    """
)
_ERASED = text("SELECT erased_digest FROM customer WHERE erased_digest = ANY(CAST(:digests AS bytea[]))")


async def rewritten(connection: AsyncConnection, table: LegacyTable, ids: Sequence[str]) -> set[str]:
    """Return those of an erased person's rows whose address is no erased person's. Hold the rows.

    Users link them to whom they are now; until then nobody knows, and emptying them could not be undone.
    """
    known = list((await connection.execute(_KNOWN, {"ids": list(ids)})).scalars())
    if not known:
        return set()
    rows = await connection.execute(statement(_ROWS, table), {"ids": known})
    digests = {row.id: digest for row in rows if (digest := _digest(row.body, table.layout))}
    erased = set((await connection.execute(_ERASED, {"digests": list(digests.values())})).scalars())
    return {id_ for id_, digest in digests.items() if digest not in erased}


def booked_by(body: str, layout: Layout, zone: tzinfo) -> tuple[bytes | None, datetime | None]:
    """Return the digest of the address in a row, and when it says it was booked; ``None`` where that is unusable."""
    try:
        row = read_row(body)
    except (ValueError, RecursionError):
        return None, None
    return _digest(body, layout), read_time(row.get(layout.created_at), zone)


def _digest(body: str, layout: Layout) -> bytes | None:
    """The digest of the address in a row, as ``customer.erased_digest`` is one; ``None`` without a usable address."""
    try:
        identity = normalise_email(read_contact(read_row(body), layout).email)
    except (ValueError, RecursionError):
        return None
    return address_digest(identity) if identity else None
