"""Use cases of the legacy API. Each commits its own transaction, a write with its line in the audit; events are the row
trigger's business.
"""

import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Row, TextClause
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.access.actor import Actor
from bookings_gateway.answers import Answers, Listing, Made, snapshot
from bookings_gateway.booking_audit import record
from bookings_gateway.errors import BookingChanged, BookingNotFound, BookingTaken, LegacyError, UnknownColumns
from bookings_gateway.export import csv_lines
from bookings_gateway.legacy_table import LegacyTable, LegacyTableCache
from bookings_gateway.listing import Filter, Queries
from bookings_gateway.rollout.old_path import old_row, old_rows
from shared.database import sqlstate
from shared.ids import new_id
from shared.signal import Signal
from shared.tracing import child_traceparent

P = ParamSpec("P")
T = TypeVar("T")

# Read aloud and typed from paper: no 0/O, 1/I/L, no vowels that make words.
_REFERENCE_ALPHABET = "23456789BCDFGHJKMNPQRSTVWXYZ"
_REFERENCE_LENGTH = 11
# Answered, never stored: a whole booking as it was read may be sent back.
_ANSWERED_ONLY = frozenset(["customerName", "customerEmail", "user", "paymentStatus"])

_UNIQUE = "23505"
_IN_USE = "23503"
_BAD_VALUES = ("22", "23")
# What a statement made for another shape of the table fails with: of a name or type, or of a value not of the type.
_MISFIT = ("42", "22")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _as_the_table_is(
    work: Callable[Concatenate["Bookings", P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Bookings", P], Coroutine[Any, Any, T]]:
    """Do it once more where the statement did not fit: the table may have been altered since it was looked up."""

    @wraps(work)
    async def twice(self: "Bookings", /, *args: P.args, **named: P.kwargs) -> T:
        try:
            return await work(self, *args, **named)
        except DBAPIError as error:
            if not (sqlstate(error) or "").startswith(_MISFIT):
                raise
        self.tables.forget()
        return await work(self, *args, **named)

    return twice


class Bookings:
    """The legacy bookings. ``changed`` wakes the capture after a commit."""

    def __init__(
        self, engine: AsyncEngine, tables: LegacyTableCache, changed: Signal, *, currency: str, zone: str
    ) -> None:
        self.engine = engine
        self.tables = tables
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")  # no round trips around one statement
        self._changed = changed
        self._currency = currency
        self._zone = zone
        self._zone_info = ZoneInfo(zone)
        self._queries: tuple[LegacyTable, Queries] | None = None
        self._answers = Answers()

    @_as_the_table_is
    async def find(self, wanted: Filter) -> Listing:
        """Return the bookings wanted, newest first."""
        async with self._reading.connect() as connection:
            _, queries = await self.prepared(connection)
            question, find = (queries, wanted), _find_page if wanted.is_page else _find_all
            found = await find(connection, queries, wanted, self._answers.last(question))
            self._answers.keep(found.snapshot, question, found.listing)
            return found.listing

    @_as_the_table_is
    async def find_as_before(self, wanted: Filter) -> bytes:
        """Return the page wanted as the old server did: nothing added, neither search nor status known."""
        async with self._reading.connect() as connection:
            table = await self.tables.get(connection)
            rows = await old_rows(connection, table, self._zone_info, limit=wanted.limit, offset=wanted.offset)
        return _array([row.encode() for row in rows])

    @_as_the_table_is
    async def get_as_before(self, id_: str) -> bytes:
        """Return one booking likewise; raises :class:`BookingNotFound`."""
        async with self._reading.connect() as connection:
            table = await self.tables.get(connection)
            _require_id(table, id_)
            return await self._as_before(connection, table, id_)

    async def export(self, wanted: Filter, *, enriched: bool = True) -> AsyncIterator[bytes]:
        """Yield the bookings wanted as CSV, header first; their limit and offset are not looked at."""
        async with self.engine.connect() as connection:
            _, queries = await self.prepared(connection)
            async for lines in csv_lines(connection, queries, wanted, enriched=enriched):
                yield lines

    @_as_the_table_is
    async def get(self, id_: str) -> bytes:
        """Return one booking as a JSON object; raises :class:`BookingNotFound`."""
        async with self._reading.connect() as connection:
            table, queries = await self.prepared(connection)
            _require_id(table, id_)
            return await self._read(connection, table, queries, id_, enriched=True)

    @_as_the_table_is
    async def version(self, id_: str) -> str | None:
        """Name the version a booking has now; ``None`` where there is none."""
        async with self._reading.connect() as connection:
            table, queries = await self.prepared(connection)
            return await self._version(connection, queries.version(lock=False), id_) if table.can_be_id(id_) else None

    @_as_the_table_is
    async def create(self, actor: Actor, fields: Mapping[str, Any], *, enriched: bool = True) -> bytes:
        """Insert a booking and return it as a JSON object; raises a :class:`LegacyError`.

        Not ``enriched``, the answer is the old one and nothing of the read model is needed.
        """
        async with self.engine.begin() as connection:
            table, queries = await self.prepared(connection)
            values = _complete(_columns_of(table, fields), table)
            written = await self._write(connection, queries.insert(values, enriched=enriched), values)
            await record(connection, actor, table.layout, "create", written)
            body = written.body if enriched else await self._as_before(connection, table, written.id)
        self._changed.set()
        return bytes(body)

    @_as_the_table_is
    async def update(
        self,
        actor: Actor,
        id_: str,
        fields: Mapping[str, Any],
        *,
        seen: Collection[str] | None = None,
        enriched: bool = True,
    ) -> bytes:
        """Change the given fields and return the booking as a JSON object, likewise; raises a :class:`LegacyError`.

        ``seen`` names versions: any other is not changed (:class:`BookingChanged`).
        """
        async with self.engine.begin() as connection:
            table, queries = await self.prepared(connection)
            _require_id(table, id_)
            if str(fields.get(table.layout.id, id_)).lower() != id_.lower():
                raise LegacyError("The id of a booking cannot be changed")
            if seen is not None:
                await self._require(connection, queries, id_, seen)
            values = _columns_of(table, fields) | _present({table.layout.updated_at: _now()})
            values.pop(table.layout.id, None)
            if not values:
                return await self._read(connection, table, queries, id_, enriched=enriched)
            written = await self._write(connection, queries.update(values, enriched=enriched), values, id_)
            await record(connection, actor, table.layout, "update", written)
            body = written.body if enriched else await self._as_before(connection, table, written.id)
        self._changed.set()
        return bytes(body)

    @_as_the_table_is
    async def delete(self, actor: Actor, id_: str) -> None:
        """Delete a booking for good, as the legacy application does; raises :class:`BookingNotFound`."""
        async with self.engine.begin() as connection:
            table, queries = await self.prepared(connection)
            _require_id(table, id_)
            written = await self._write(connection, queries.delete(), {}, id_)
            await record(connection, actor, table.layout, "delete", written)
        self._changed.set()

    async def prepared(self, connection: AsyncConnection) -> tuple[LegacyTable, Queries]:
        """Return the table as it is now, and its statements."""
        table = await self.tables.get(connection)
        if self._queries is None or self._queries[0] is not table:
            self._queries = table, Queries(table, currency=self._currency, zone=self._zone)
        return self._queries

    async def _read(
        self, connection: AsyncConnection, table: LegacyTable, queries: Queries, id_: str, *, enriched: bool
    ) -> bytes:
        if not enriched:
            return await self._as_before(connection, table, id_)
        body: bytes | None = (await connection.execute(queries.booking(), {"id": id_})).scalar_one_or_none()
        if body is None:
            raise BookingNotFound
        return body

    async def _as_before(self, connection: AsyncConnection, table: LegacyTable, id_: str) -> bytes:
        row = await old_row(connection, table, self._zone_info, id_)
        if row is None:
            raise BookingNotFound
        return row.encode()

    async def _require(self, connection: AsyncConnection, queries: Queries, id_: str, seen: Collection[str]) -> None:
        try:
            version = await self._version(connection, queries.version(lock=True), id_)
        except DBAPIError as error:
            raise _refusal(error) from error
        if version is None:
            raise BookingNotFound
        if version not in seen:
            raise BookingChanged

    async def _version(self, connection: AsyncConnection, reading: TextClause, id_: str) -> str | None:
        parameters = {"traceparent": child_traceparent(None), "zone": self._zone, "id": id_}
        version: str | None = (await connection.execute(reading, parameters)).scalar_one_or_none()
        return version

    async def _write(
        self, connection: AsyncConnection, writing: TextClause, values: Mapping[str, Any], id_: str | None = None
    ) -> Row[Any]:
        """Run a write and return ``body`` or ``id``, ``before`` and ``after``; raises a :class:`LegacyError`."""
        parameters = {"traceparent": child_traceparent(None), "zone": self._zone}
        parameters |= ({"body": _as_json(values)} if values else {}) | ({"id": id_} if id_ else {})
        try:
            written = (await connection.execute(writing, parameters)).one_or_none()
        except DBAPIError as error:
            raise _refusal(error) from error
        if written is None:
            raise BookingNotFound
        return written


async def _find_all(connection: AsyncConnection, queries: Queries, wanted: Filter, last: Made | None) -> Made:
    """Return ``last`` if it still holds, which is asked first: a question is nothing beside making it anew."""
    now = await snapshot(connection)
    if last and last.snapshot == now:
        return last
    bodies = (await connection.execute(queries.listing(wanted), wanted.parameters)).scalars().all()
    return Made(now, Listing(_array(bodies), len(bodies)))


async def _find_page(connection: AsyncConnection, queries: Queries, wanted: Filter, last: Made | None) -> Made:
    """Return ``last`` if it still holds, in one question: a page is made in little more than a round trip."""
    bound = wanted.parameters | {"seen": last.snapshot if last else ""}
    answer = (await connection.execute(queries.answer(wanted), bound)).one()
    if last and answer.bodies is None:
        return last
    return Made(answer.name, Listing(_array(answer.bodies), answer.total))


def _array(bodies: Sequence[bytes]) -> bytes:
    """Join once: a full listing is megabytes, and a second copy of it costs as much as the first."""
    if not bodies:
        return b"[]"
    parts = list(bodies)
    parts[0] = b"[" + parts[0]
    parts[-1] += b"]"
    return b",".join(parts)


def _as_json(values: Mapping[str, Any]) -> str:
    """Return the values as the old server would have written them: compact, and no character escaped needlessly."""
    written = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    if not written.isascii() and _LONE_SURROGATE.search(written):
        raise LegacyError("A text in the body is no valid Unicode")
    return written


def _refusal(error: DBAPIError) -> Exception:
    """Return what a client may be told; an error that is not about the body stays what it is."""
    state = sqlstate(error) or ""
    if state == _UNIQUE:
        return BookingTaken()
    if state == _IN_USE:
        return LegacyError("The booking is tied to other records")
    if state.startswith(_BAD_VALUES):
        return LegacyError(_message(error))
    return error


def _message(error: DBAPIError) -> str:
    """Return what went wrong, without the detail, which may be the whole row with what is noted of participants."""
    cause = error.orig.__cause__ if error.orig else None
    return str(getattr(cause, "message", None) or "The database refuses these values")


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


def _now() -> str:
    return datetime.now(UTC).isoformat()
