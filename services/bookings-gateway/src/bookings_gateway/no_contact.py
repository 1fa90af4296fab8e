"""A legacy table that does not tell who booked: what to do about it, said in the table's own names."""

from collections.abc import Collection, Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.domain import Layout

# Where a booking points to somebody with an address: the foreign keys of the table to one with such a column.
_PEOPLE = text(
    """
    SELECT quote_ident(a.attname) AS key, CAST(c.confrelid AS regclass) || '' AS people,
           quote_ident(k.attname) AS id, quote_ident(e.attname) AS email
    FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    JOIN pg_attribute k ON k.attrelid = c.confrelid AND k.attnum = c.confkey[1]
    JOIN pg_attribute e ON e.attrelid = c.confrelid AND lower(e.attname) IN ('email', 'e_mail', 'mail')
    WHERE c.conrelid = :oid AND c.contype = 'f' AND cardinality(c.conkey) = 1 ORDER BY c.conname LIMIT 1
    """
)


def has_contact(columns: Collection[str], layouts: Iterable[Layout]) -> bool:
    """Whether a column tells who booked, by any of these layouts."""
    return any(column in columns for each in layouts for column in (each.contact, *each.contact_columns.values()))


async def way_to_a_contact(connection: AsyncConnection, oid: int, name: str, layout: Layout) -> str:
    """Return a sentence: where the contact may stand instead, and how it gets into the table."""
    said = f"The table {name!r} has no column of a contact: nobody could be told from its bookings. "
    people = (await connection.execute(_PEOPLE, {"oid": oid})).one_or_none()
    if people is None:
        return said + "Declare the columns that hold name and e-mail in a layout file (BOOKINGS_GATEWAY_LEGACY_LAYOUT)."
    copying = (
        f"UPDATE {name} b SET contact = json_build_object('email', p.{people.email}) "  # noqa: S608 - typed by a person
        f"FROM {people.people} p WHERE p.{people.id} = b.{people.key}"
    )
    ours = ' and user_id = "customer_id" (the gateway\'s own column)' if people.key == layout.user_id else ""
    return said + (
        f"Its column {people.key} points to {people.people}, which has {people.email}. Give it a copy: "
        f"ALTER TABLE {name} ADD COLUMN contact jsonb; {copying}; have a BEFORE INSERT OR UPDATE trigger of your own "
        f'fill it likewise from then on; then declare contact = "contact"{ours} in a layout file '
        "(BOOKINGS_GATEWAY_LEGACY_LAYOUT)."
    )
