"""Use cases of the legacy API. Each commits its own transaction; events are the row trigger's business."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.errors import BookingNotFound, BookingTaken, LegacyError, UnknownColumns
from bookings_gateway.legacy_table import LegacyTable, LegacyTableCache, quoted, statement
from bookings_gateway.listing import Filter, booking_query, listing_query
from bookings_gateway.wire import stored
from shared.ids import new_id
from shared.signal import Signal
from shared.tracing import child_traceparent

# Read aloud and typed from paper: no 0/O, 1/I/L, no vowels that make words.
_REFERENCE_ALPHABET = "23456789BCDFGHJKMNPQRSTVWXYZ"
_REFERENCE_LENGTH = 11
# Answered, never stored: a whole booking as it was read may be sent back.
_ANSWERED_ONLY = frozenset(["customerName", "customerEmail", "user", "paymentStatus"])

# The trigger hands the trace on to the event. Zone-less times in a body are the legacy server's own.
# A row the legacy application holds is not waited for long: those who wait would use up the connections of all others.
_PREPARE = text(
    """
    SELECT set_config('gateway.traceparent', :traceparent, true), set_config('TimeZone', :zone, true),
           set_config('lock_timeout', '3s', true)
    """
)

# json_populate_record reads every type as PostgreSQL itself does; only the named columns are taken from it.
_INSERT = """
    INSERT INTO {table} ({columns}) SELECT {values}
    FROM json_populate_record(CAST(NULL AS {table}), CAST(:body AS json)) r
    RETURNING CAST({id} AS text)
"""
_UPDATE = """
    UPDATE {table} b SET ({columns}) = ROW({values})
    FROM json_populate_record(CAST(NULL AS {table}), CAST(:body AS json)) r
    WHERE b.{id} = CAST(CAST(:id AS text) AS {id_type})
    RETURNING CAST(b.{id} AS text)
"""
_DELETE = "DELETE FROM {table} b WHERE b.{id} = CAST(CAST(:id AS text) AS {id_type}) RETURNING CAST(b.{id} AS text)"

_UNIQUE = "23505"
_IN_USE = "23503"
_BAD_VALUES = ("22", "23")


@dataclass(frozen=True, slots=True)
class Listing:
    """``body`` is a JSON array; ``total`` counts the matches before limit and offset."""

    body: str
    total: int


@dataclass(frozen=True, slots=True)
class Bookings:
    """The legacy bookings. ``changed`` wakes the capture after a commit."""

    engine: AsyncEngine
    tables: LegacyTableCache
    changed: Signal
    currency: str
    zone: str

    async def find(self, wanted: Filter) -> Listing:
        """Return the bookings wanted, newest first."""
        async with self.engine.connect() as connection:
            table = await self.tables.get(connection)
            query = listing_query(table, wanted, currency=self.currency, zone=self.zone)
            row = (await connection.execute(query, wanted.parameters)).one()
        return Listing(row.body, row.total)

    async def get(self, id_: str) -> str:
        """Return one booking as a JSON object; raises :class:`BookingNotFound`."""
        async with self.engine.connect() as connection:
            return await self._read(connection, await self.tables.get(connection), id_)

    async def create(self, fields: Mapping[str, Any]) -> str:
        """Insert a booking and return it as a JSON object; raises a :class:`LegacyError`."""
        async with self.engine.begin() as connection:
            table = await self._prepare(connection)
            values = _complete(_columns_of(table, fields), table)
            id_ = await _write(connection, self._writing(_INSERT, table, values), values)
            body = await self._read(connection, table, id_ or "")
        self.changed.set()
        return body

    async def update(self, id_: str, fields: Mapping[str, Any]) -> str:
        """Change the given fields and return the booking as a JSON object; raises a :class:`LegacyError`."""
        async with self.engine.begin() as connection:
            table = await self._prepare(connection)
            _require_id(table, id_)
            if str(fields.get(table.layout.id, id_)).lower() != id_.lower():
                raise LegacyError("The id of a booking cannot be changed")
            values = _columns_of(table, fields) | _present({table.layout.updated_at: _now()})
            values.pop(table.layout.id, None)
            if not await _write(connection, self._writing(_UPDATE, table, values), values, id_):
                raise BookingNotFound
            body = await self._read(connection, table, id_)
        self.changed.set()
        return body

    async def delete(self, id_: str) -> None:
        """Delete a booking for good, as the legacy application does; raises :class:`BookingNotFound`."""
        async with self.engine.begin() as connection:
            table = await self._prepare(connection)
            _require_id(table, id_)
            if not await _write(connection, statement(_DELETE, table), {}, id_):
                raise BookingNotFound
        self.changed.set()

    async def _prepare(self, connection: AsyncConnection) -> LegacyTable:
        await connection.execute(_PREPARE, {"traceparent": child_traceparent(None), "zone": self.zone})
        return await self.tables.get(connection)

    async def _read(self, connection: AsyncConnection, table: LegacyTable, id_: str) -> str:
        _require_id(table, id_)
        query = booking_query(table, currency=self.currency, zone=self.zone)
        body: str = (await connection.execute(query, {"id": id_})).one().body
        if body == "[]":
            raise BookingNotFound
        return body[1:-1]

    def _writing(self, template: str, table: LegacyTable, values: Mapping[str, Any]) -> TextClause:
        columns = ", ".join(map(quoted, values))
        expressions = ", ".join(stored(name, table.columns[name], zone=self.zone) for name in values)
        return text(template.format(columns=columns, values=expressions, **table.names))


def new_reference() -> str:
    """Return a random booking reference, one of 28**11."""
    return "".join(secrets.choice(_REFERENCE_ALPHABET) for _ in range(_REFERENCE_LENGTH))


def _require_id(table: LegacyTable, id_: str) -> None:
    if not table.can_be_id(id_):
        raise BookingNotFound


def _columns_of(table: LegacyTable, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that may be written; raises :class:`UnknownColumns` for what is no column."""
    unknown = [name for name in fields if name not in table.columns and name not in _ANSWERED_ONLY]
    if unknown:
        raise UnknownColumns(unknown)
    kept_by_us = {table.layout.user_id, *table.generated}
    return {name: value for name, value in fields.items() if name in table.columns and name not in kept_by_us}


def _complete(fields: Mapping[str, Any], table: LegacyTable) -> dict[str, Any]:
    """Add what a new booking has in any case: id, reference, status, times."""
    layout, now = table.layout, _now()
    defaults = {
        layout.id if table.id_type == "uuid" else None: str(new_id()),
        layout.reference: new_reference(),
        layout.status: "PENDING" if layout.paid_status.isupper() else "pending",
        layout.created_at: now,
        layout.updated_at: now,
    }
    return _present(defaults) | {name: value for name, value in fields.items() if value is not None}


def _present(values: Mapping[str | None, Any]) -> dict[str, Any]:
    """Return the values of columns the layout has."""
    return {column: value for column, value in values.items() if column is not None}


async def _write(
    connection: AsyncConnection, writing: TextClause, values: Mapping[str, Any], id_: str | None = None
) -> str | None:
    """Run a write and return the id of the row written; what the database refuses becomes a :class:`LegacyError`."""
    parameters = ({"body": json.dumps(values)} if values else {}) | ({"id": id_} if id_ else {})
    try:
        return (await connection.execute(writing, parameters)).scalar_one_or_none()
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        if state == _UNIQUE:
            raise BookingTaken from error
        if state == _IN_USE:
            raise LegacyError("The booking is tied to other records") from error
        if state.startswith(_BAD_VALUES):
            raise LegacyError(str(error.orig.__cause__ if error.orig else error)) from error
        raise


def _now() -> str:
    return datetime.now(UTC).isoformat()
