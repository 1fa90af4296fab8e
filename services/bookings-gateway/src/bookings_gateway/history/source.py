"""The legacy table as the import reads it: rows in the order of their ids, each with the hash of what was read."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.domain import read_row
from bookings_gateway.history.items import Setting, SourceRow
from bookings_gateway.legacy_table import LegacyTable, quoted

# Hashes must not depend on who reads.
STEADY = text("SELECT set_config('TimeZone', 'UTC', true), set_config('extra_float_digits', '1', true)")

# A booking made since the run began, told as it was made: by the times of the change and of the booking itself, for it
# does not matter when the change was captured, and a row of the past that was deleted and inserted again is no new one.
TOLD_LIVE = """
    (SELECT bool_or(l.type = 'booking.created' AND l.time >= :since
                    AND CAST(l.body #>> '{{data,imported}}' AS boolean) IS NOT TRUE
                    AND CAST(l.body #>> '{{data,created_at}}' AS timestamptz) >= :since)
     FROM gateway.event_log l WHERE l.subject = <subject>) IS TRUE
"""
# told: in the ledger and not taken back, or made by a live writer since the run began, or just changed (its change has
# to be told first; a later pass finds the row). Each is a scalar subquery on purpose: a look-up by index for each of a
# few rows, whatever the statistics say of tables that are growing right now. For the same reason the type of an event
# is looked at, never searched for: an index of types has every booking under one of them.
_ROWS = """
    SELECT c.gateway_id AS booking_id, r.row, sha256(convert_to(r.row, 'UTF8')) AS sha256, c.gateway_told AS told,
           (SELECT CAST(i.correction AS text) FROM gateway.import_item i
            WHERE i.booking_id = c.gateway_id) AS correction
    FROM (
        SELECT b.*, CAST(b.{id} AS text) AS gateway_id, {told} AS gateway_told
        FROM {table} b WHERE {condition} ORDER BY b.{id} LIMIT :rows
    ) c
    CROSS JOIN LATERAL (
        SELECT CASE WHEN NOT c.gateway_told THEN CAST(row_to_json(x) AS text) END AS row FROM (SELECT {columns_of_c}) x
    ) r
    ORDER BY c.{id}
"""
_TOLD = f"""
    coalesce(
        (SELECT i.outcome <> 'withdrawn' FROM gateway.import_item i WHERE i.booking_id = CAST(b.{{id}} AS text)), false)
    OR {TOLD_LIVE.replace("<subject>", "CAST(b.{id} AS text)")}
    OR (SELECT true FROM gateway.booking_change g WHERE g.booking_id = CAST(b.{{id}} AS text) LIMIT 1) IS TRUE
"""  # noqa: S608
_FIRST = "true"
_AFTER = "b.{id} > CAST(CAST(:after AS text) AS {id_type})"
_THESE = "b.{id} = ANY(CAST(CAST(:ids AS text[]) AS {id_type}[]))"
_TOLD_OF_THESE = "SELECT CAST(b.{id} AS text) AS booking_id FROM {table} b WHERE {condition} AND ({told})"
_CHECKSUM = """
    SELECT count(*) AS rows, encode(sha256(convert_to(coalesce(string_agg(r.hash, '' ORDER BY b.{id}), ''), 'UTF8')),
                                    'hex') AS sha256
    FROM {table} b
    CROSS JOIN LATERAL (SELECT encode(sha256(convert_to(CAST(row_to_json(x) AS text), 'UTF8')), 'hex') AS hash
                        FROM (SELECT {columns}) x) r
"""
_STATUSES = """
    SELECT coalesce(CAST(b.{status} AS text), '(none)') AS status, count(*) AS rows
    FROM {table} b GROUP BY 1 ORDER BY 1
"""
_SHARED = """
    SELECT btrim(CAST(b.{column} AS text)) AS value, min(CAST(b.{id} AS text)) AS owner
    FROM {table} b WHERE btrim(CAST(b.{column} AS text)) <> '' GROUP BY 1 HAVING count(*) > 1
"""


class Source:
    """One legacy table, read by the columns it had when the run began: a column added later changes no hash."""

    def __init__(self, table: LegacyTable, columns: Sequence[str] | None = None) -> None:
        self.table = table
        self.columns = list(columns or (name for name in table.columns if name != table.layout.user_id))

    def statement(self, template: str, **names: str) -> Any:  # noqa: ANN401 - a TextClause
        columns = ", ".join(f"b.{quoted(name)}" for name in self.columns)
        columns_of_c = ", ".join(f"c.{quoted(name)}" for name in self.columns)
        inner = {name: value.format(**self.table.names) for name, value in names.items()}
        return text(template.format(columns=columns, columns_of_c=columns_of_c, **{**self.table.names, **inner}))

    async def setting(self, connection: AsyncConnection, *, currency: str, zone: tzinfo, now: datetime) -> Setting:
        """Return what reading depends on besides the rows: what several of them share."""
        layout = self.table.layout
        shared = await self._shared(connection, layout.payment_reference)
        references = await self._shared(connection, layout.reference)
        contact = self.table.columns.get(layout.contact or "")
        return Setting(
            layout=layout,
            currency=currency,
            zone=zone,
            now=now,
            contact_is_text=contact not in {None, "json", "jsonb"},
            intent_owners={value: owner for value, owner in shared.items() if value.startswith("pi_")},
            ambiguous_references=frozenset(references),
        )

    async def _shared(self, connection: AsyncConnection, column: str | None) -> dict[str, str]:
        if column is None:
            return {}
        found = await connection.execute(self.statement(_SHARED, column=quoted(column)))
        return {row.value: row.owner for row in found}

    async def untold(
        self, connection: AsyncConnection, *, after: str | None, since: datetime, rows: int
    ) -> tuple[list[SourceRow], str | None]:
        """Look at the next rows, in the order of their ids; return those the ledger does not have, and the last id."""
        position = {} if after is None else {"after": after}
        bound = {"since": since, "rows": rows, **position}
        return await self._rows(connection, _FIRST if after is None else _AFTER, bound, told=_TOLD)

    async def page(self, connection: AsyncConnection, *, after: str | None, rows: int) -> list[SourceRow]:
        """Return the next rows, told or not."""
        position = {} if after is None else {"after": after}
        return (await self._rows(connection, _FIRST if after is None else _AFTER, {"rows": rows, **position}))[0]

    async def these(self, connection: AsyncConnection, ids: Sequence[str]) -> list[SourceRow]:
        """Return rows by id, of those that are there."""
        usable = [id_ for id_ in ids if self.table.can_be_id(id_)]
        return (await self._rows(connection, _THESE, {"ids": usable, "rows": len(usable)}))[0]

    async def told(self, connection: AsyncConnection, ids: Sequence[str], *, since: datetime) -> set[str]:
        """Return those of these rows an import begun then passes over: :meth:`untold` never finds them."""
        usable = [id_ for id_ in ids if self.table.can_be_id(id_)]
        query = self.statement(_TOLD_OF_THESE, condition=_THESE, told=_TOLD)
        return set((await connection.execute(query, {"ids": usable, "since": since})).scalars())

    async def _rows(
        self, connection: AsyncConnection, condition: str, bound: Mapping[str, Any], *, told: str = "false"
    ) -> tuple[list[SourceRow], str | None]:
        await connection.execute(STEADY)
        query = self.statement(_ROWS, condition=condition, told=told)
        found = (await connection.execute(query, bound)).all()
        rows = [
            SourceRow(row.booking_id, row.row, row.sha256, _correction(row.correction)) for row in found if not row.told
        ]
        return rows, found[-1].booking_id if found else None

    async def checksum(self, connection: AsyncConnection) -> tuple[int, str]:
        """Return how many rows there are and one hash of all of them, without what the gateway itself writes."""
        await connection.execute(STEADY)
        row = (await connection.execute(self.statement(_CHECKSUM))).one()
        return row.rows, row.sha256

    async def statuses(self, connection: AsyncConnection) -> dict[str, int]:
        """Return how many rows have each status."""
        found = await connection.execute(self.statement(_STATUSES))
        return {row.status: row.rows for row in found}


def _correction(said: str | None) -> Mapping[str, Any] | None:
    return None if said is None else read_row(said)
