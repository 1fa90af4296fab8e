"""The message door: users, links, totals, payments and our own bookings come in and are kept for the admin."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway import read_model
from bookings_gateway.rows import booking_row, payment_row, snapshot_row, totals_row, user_row
from shared import contracts
from shared.consumer import Group
from shared.events import Event
from shared.inbox import InboxHandler

Row = dict[str, Any]

_HEARD_SECONDS = 1.0  # often enough to tell an age by
_USERS = ("user.registered", "user.updated")
_LINKS = ("user.booking_linked",)
_MERGES = ("user.merged", "user.unmerged")
_ERASURES = ("user.erased",)
_TOTALS = ("user_totals.changed",)
_BOOKINGS = tuple(type_ for type_ in contracts.CONTRACTS if type_.startswith("booking."))
_PAYMENTS = tuple(type_ for type_ in contracts.CONTRACTS if type_.startswith("payment."))


@dataclass(frozen=True, slots=True)
class Table:
    """Where events of some types end, by which key, and what of a snapshot is kept."""

    key: str
    row: Callable[[Event], Row]
    statement: TextClause


class ReadModelHandler(InboxHandler):
    """Keeps the newest snapshot per aggregate, whatever order events come in."""

    def __init__(self, currency: str) -> None:
        self._heard: dict[str, float] = {}
        self._merges = Table("user_id", snapshot_row, read_model.KEEP_MERGES)
        self._tables: Mapping[str, Table] = {
            **dict.fromkeys(_MERGES, self._merges),
            **dict.fromkeys(_USERS, Table("user_id", user_row, read_model.KEEP_USERS)),
            **dict.fromkeys(
                _TOTALS, Table("user_id", lambda event: totals_row(event, currency), read_model.KEEP_TOTALS)
            ),
            **dict.fromkeys(_ERASURES, Table("user_id", snapshot_row, read_model.KEEP_ERASURES)),
            **dict.fromkeys(_LINKS, Table("booking_id", snapshot_row, read_model.KEEP_LINKS)),
            **dict.fromkeys(_BOOKINGS, Table("booking_id", booking_row, read_model.KEEP_BOOKINGS)),
            **dict.fromkeys(_PAYMENTS, Table("payment_id", payment_row, read_model.KEEP_PAYMENTS)),
        }

    @property
    def types(self) -> frozenset[str]:
        return frozenset(self._tables)

    async def apply(self, connection: AsyncConnection, group: Group) -> bool:
        for table in dict.fromkeys(self._tables.values()):
            rows = newest(table, [event for event in group.events if self._tables[event.type] is table])
            if rows:
                await self._keep(connection, table, {name: [row[name] for row in rows] for name in rows[0]})
        await self._hear(connection, {event.source for event in group.events})
        return False

    async def _hear(self, connection: AsyncConnection, sources: Collection[str]) -> None:
        """Note that these were heard, once a second; last in its transaction, so nobody waits for it long."""
        now = time.monotonic()
        due = [source for source in sources if now - self._heard.get(source, -inf) >= _HEARD_SECONDS]
        if due:
            await connection.execute(read_model.HEARD, {"sources": due})
            self._heard |= dict.fromkeys(due, now)

    async def _keep(self, connection: AsyncConnection, table: Table, columns: Mapping[str, list[Any]]) -> None:
        if table is self._merges:
            await connection.execute(read_model.MERGE_ALONE)
        await connection.execute(table.statement, columns)
        if table is self._merges:
            await connection.execute(read_model.RESOLVE_MERGES, {"user_id": columns["user_id"]})


def newest(table: Table, events: Sequence[Event]) -> list[Row]:
    """Return one row per key, that of its highest sequence, in key order: no statement may touch a row twice."""
    rows: dict[str, Row] = {}
    for event in sorted(events, key=lambda event: event.sequence):
        row = {**table.row(event), "sequence": event.sequence}
        rows[row[table.key]] = row
    return [rows[key] for key in sorted(rows)]
