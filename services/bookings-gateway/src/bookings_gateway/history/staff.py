"""The addresses staff log in with, here and in the old server's own table of logins, where there is one."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.legacy_table import quoted
from shared.emails import normalise_email

_OURS = text("SELECT email FROM staff")
# The column, if we may read it.
_COLUMN = text(
    """
    SELECT attname FROM pg_attribute
    WHERE attrelid = to_regclass('public.users') AND lower(attname) = 'email' AND attnum > 0 AND NOT attisdropped
      AND has_column_privilege(attrelid, attnum, 'SELECT')
    """
)


async def staff_addresses(connection: AsyncConnection) -> set[str]:
    """Return them, normalised."""
    found = list((await connection.execute(_OURS)).scalars())
    column = (await connection.execute(_COLUMN)).scalar_one_or_none()
    if column is not None:
        logins = text(f"SELECT CAST({quoted(column)} AS text) FROM public.users")  # noqa: S608 - a quoted column
        found += (await connection.execute(logins)).scalars()
    return {address for address in map(normalise_email, found) if address}
