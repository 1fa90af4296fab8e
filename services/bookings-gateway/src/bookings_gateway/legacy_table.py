"""The legacy table as it is found: its name, its columns and their types."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.domain import Layout
from bookings_gateway.errors import LegacyTableMissing, LegacyTableUnfit
from bookings_gateway.layouts import PRESETS
from bookings_gateway.no_contact import has_contact, way_to_a_contact

_KEEP_SECONDS = 1.0
_TIMES = ("timestamp with time zone", "timestamp without time zone")
_TYPES: Mapping[str, Sequence[str]] = {
    "contact": ("jsonb", "json", "text", "character varying"),
    "final_amount": ("numeric", "integer", "bigint", "smallint", "double precision", "real"),
    **dict.fromkeys(("created_at", "updated_at", "payment_date"), _TIMES),
}

_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}

# to_regclass looks along the search path and answers NULL instead of failing. Own tables live in schema gateway.
_FIND = text("SELECT CAST(to_regclass(:name) AS oid)")
_NAME = text(
    """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = :oid
    """
)
# A domain answers with the type beneath it, as the old driver saw it.
_COLUMNS = text(
    """
    SELECT a.attname AS name, a.attgenerated <> '' OR a.attidentity = 'a' AS generated,
           format_type(CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END, NULL) AS type
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = :oid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
    """
)
# Row triggers that run before every update and speak of this column: they would set it whatever is written.
_TOUCHING = text(
    """
    SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = :oid AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 19 = 19
      AND position(lower(:column) IN lower(p.prosrc)) > 0
    ORDER BY t.tgname
    """
)


@dataclass(frozen=True, slots=True)
class LegacyTable:
    """``name`` is qualified and quoted, ready for SQL; ``columns`` are name → type, in the table's order;
    those ``generated`` cannot be written. ``touching`` are the table's own triggers that would change a row's time of
    change with whatever we write."""

    oid: int
    name: str
    columns: Mapping[str, str]
    layout: Layout
    generated: frozenset[str] = frozenset()
    touching: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """What the placeholders of an SQL template stand for: the table, the id's type and the layout's columns."""
        columns = {field: quoted(column) for field, column in self.layout.columns.items()}
        return {
            "table": self.name.replace(":", "\\:"),
            "id_type": self.id_type,
            "user_id": quoted(self.layout.user_id),
            **columns,
        }

    @property
    def id_type(self) -> str:
        return self.columns[self.layout.id]

    def can_be_id(self, value: str) -> bool:
        """Whether ``value`` can be cast to the type of the id, so that a query for it cannot fail."""
        if self.id_type == "uuid":
            return _is_uuid(value)
        if self.id_type in _LARGEST:
            return re.fullmatch(r"\d{1,19}", value) is not None and int(value) <= _LARGEST[self.id_type]
        return "\x00" not in value


def _is_uuid(value: str) -> bool:
    try:
        return str(UUID(value)) == value.lower()
    except ValueError:
        return False


def quoted(identifier: str) -> str:
    """Return an identifier for use in SQL text. Colons are escaped for ``sqlalchemy.text``."""
    return '"' + identifier.replace('"', '""').replace(":", "\\:") + '"'


def literal(value: str) -> str:
    """Return what stands between the quotes of an SQL string, in text for ``sqlalchemy.text``."""
    return value.replace("'", "''").replace(":", "\\:")


def statement(template: str, table: LegacyTable) -> TextClause:
    """Return an SQL template with the table's own names in it."""
    return text(template.format(**table.names))


async def find(connection: AsyncConnection, name: str, layout: Layout) -> LegacyTable:
    """Look the table up; raises :class:`LegacyTableMissing` or :class:`LegacyTableUnfit`, each with the way out."""
    oid = (await connection.execute(_FIND, {"name": name})).scalar_one()
    if oid is None:
        raise LegacyTableMissing(
            f"There is no table {name!r} in this database. BOOKINGS_GATEWAY_DATABASE_URL must name the legacy "
            "application's database, and BOOKINGS_GATEWAY_LEGACY_TABLE its bookings table, as schema.table where it "
            "is not in public."
        )
    found = (await connection.execute(_COLUMNS, {"oid": oid})).all()
    columns = {row.name: row.type for row in found}
    if not has_contact(columns, [layout, *PRESETS.values()]):
        raise LegacyTableUnfit(await way_to_a_contact(connection, oid, name, layout))
    _require(columns, name, layout)
    qualified = (await connection.execute(_NAME, {"oid": oid})).scalar_one()
    touching = await connection.execute(_TOUCHING, {"oid": oid, "column": layout.updated_at or ""})
    return LegacyTable(
        oid,
        qualified,
        columns,
        layout,
        generated=frozenset(row.name for row in found if row.generated),
        touching=tuple(touching.scalars()) if layout.updated_at else (),
    )


def _require(columns: Mapping[str, str], name: str, layout: Layout) -> None:
    if missing := _missing(columns, layout):
        fitting = [preset for preset, known in PRESETS.items() if not _missing(columns, known)]
        hint = f"It fits the layout {' and '.join(fitting)}" if fitting else f"It has {', '.join(columns)}"
        raise LegacyTableUnfit(
            f"The table {name!r} has no column {', '.join(missing)}, which its layout needs. {hint}: declare it by "
            "BOOKINGS_GATEWAY_LEGACY_LAYOUT."
        )
    if layout.contact is None and not layout.contact_columns:
        raise LegacyTableUnfit(
            f"The layout of the table {name!r} names no column of a contact: nobody could be told from its bookings."
        )
    for field, types in _TYPES.items():
        column = layout.columns.get(field)
        if column is not None and columns[column] not in types:
            raise LegacyTableUnfit(f"{column} of the table {name!r} is {columns[column]}, and must be {_or(types)}.")
    if columns.get(layout.user_id, "uuid") != "uuid":
        raise LegacyTableUnfit(
            f"The table {name!r} has a column {layout.user_id} of type {columns[layout.user_id]} already, and the "
            "gateway keeps its own uuid under that name. Declare another name (user_id) in a layout file."
        )


def _missing(columns: Mapping[str, str], layout: Layout) -> list[str]:
    return [column for column in layout.columns.values() if column not in columns]


def _or(types: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(types[:-1]), types[-1]]))


class LegacyTableCache:
    """The table, looked up again every second it is asked for: what the legacy application alters shows by then."""

    def __init__(self, name: str, layout: Layout) -> None:
        self._name = name
        self.layout = layout
        self._found: LegacyTable | None = None
        self._until = 0.0

    def forget(self) -> None:
        """Have the table looked up again: a statement made for it did not fit."""
        self._until = 0.0

    async def get(self, connection: AsyncConnection) -> LegacyTable:
        """Return the table; raises what :func:`find` raises."""
        if self._found is None or time.monotonic() > self._until:
            found = await find(connection, self._name, self.layout)
            self._found = self._found if found == self._found else found  # what was made for it is kept
            self._until = time.monotonic() + _KEEP_SECONDS
        return self._found
