"""The write-back worker: copies the user's id, and that a booking is paid, into the legacy rows.

It never waits for the legacy application: a row that one holds locked is skipped and comes up again, because what
is not written stays in a queue (the partial indexes ``…_due``). Writing twice changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.capture import take_turn
from bookings_gateway.held_rows import hold
from bookings_gateway.legacy_table import LegacyTable, LegacyTableCache, literal, statement
from bookings_gateway.taken_back import let_go, taken_back
from shared.database import is_transient
from shared.service import Service
from shared.signal import AdaptivePoll, Signal

log = structlog.get_logger(__name__)

Write = Callable[[AsyncConnection, Sequence[RowMapping]], Awaitable[int]]

_PAGE = 200
_RECONNECT_SECONDS = 0.5

# Mostly there is nothing to do, and one statement finds that out. In order: so the plan is to look into the partial
# index, also one that was made while the table was empty and is kept.
IS_DUE = text(
    """
    SELECT (SELECT true FROM booking_user WHERE NOT written ORDER BY booking_id LIMIT 1) IS TRUE AS links,
           (SELECT true FROM booking_payment
            WHERE NOT written AND NOT migrated AND status = 'succeeded' AND booking_id IS NOT NULL
            ORDER BY booking_id LIMIT 1) IS TRUE AS payments
    """
)
# SKIP LOCKED: the consumer may hold these while it waits for us, and so may another replica of this worker.
_DUE_LINKS = text(
    """
    SELECT booking_id, user_id FROM booking_user WHERE NOT written AND booking_id > :after
    ORDER BY booking_id LIMIT :page FOR UPDATE SKIP LOCKED
    """
)
_DUE_PAYMENTS = text(
    """
    SELECT DISTINCT booking_id FROM booking_payment
    WHERE NOT written AND NOT migrated AND status = 'succeeded' AND booking_id > :after
    ORDER BY booking_id LIMIT :page
    """
)
_HOLD_PAYMENTS = text(
    """
    SELECT payment_id FROM booking_payment
    WHERE NOT written AND NOT migrated AND status = 'succeeded' AND booking_id = ANY(CAST(:ids AS text[]))
    FOR UPDATE SKIP LOCKED
    """
)
_LINKS_WRITTEN = text("UPDATE booking_user SET written = true WHERE booking_id = ANY(CAST(:ids AS text[]))")
# A payment of a booking that was cancelled before the money came wants a person; so does one whose booking is gone.
_PAYMENTS_WRITTEN = text(
    """
    UPDATE booking_payment SET written = true, flag = CASE
        WHEN received <= refunded THEN NULL
        WHEN booking_id = ANY(CAST(:cancelled AS text[])) THEN 'booking_cancelled'
        WHEN booking_id = ANY(CAST(:missing AS text[])) THEN 'booking_missing' END
    WHERE payment_id = ANY(CAST(:payments AS text[])) AND booking_id = ANY(CAST(:ids AS text[]))
    RETURNING payment_id, flag
    """
)

# Should this process freeze with legacy rows locked, the legacy application waits seconds for them, not a minute.
# A time goes into a column without zone as the legacy server's own.
# Plans are made anew: those made while the tables were small, before an import, read all of them afterwards.
_PREPARE = text(
    """
    SELECT set_config('idle_in_transaction_session_timeout', '5s', true), set_config('TimeZone', :zone, true),
           set_config('plan_cache_mode', 'force_custom_plan', true)
    """
)

# "updatedAt" stays: the copy of the user's id is no change of the booking.
_WRITE_LINKS = """
    UPDATE {table} b SET {user_id} = d.user_id
    FROM unnest(CAST(:ids AS text[]), CAST(:users AS uuid[])) AS d (id, user_id)
    WHERE b.{id} = CAST(d.id AS {id_type}) AND b.{user_id} IS DISTINCT FROM d.user_id
"""
# The newest payment of each booking, and only while the booking still waits for one.
_WRITE_PAYMENTS = """
    UPDATE {table} b SET {assignments}
    FROM (
        SELECT DISTINCT ON (booking_id) booking_id, paid_at, method, reference FROM booking_payment
        WHERE booking_id = ANY(CAST(:ids AS text[])) AND status = 'succeeded' AND NOT migrated
        ORDER BY booking_id, paid_at DESC, payment_id DESC
    ) p
    WHERE b.{id} = CAST(p.booking_id AS {id_type}) AND lower(CAST(b.{status} AS text)) IN ('pending', 'confirmed')
        AND {unpaid}
"""
_ASSIGNMENTS = {
    "payment_status": "'paid'",
    "payment_date": "p.paid_at",
    "payment_method": "coalesce({paid_method}, b.{payment_method})",
    "payment_reference": "p.reference",
    "updated_at": "now()",
}
_UNPAID = "coalesce(lower(CAST(b.{payment_status} AS text)), 'pending') IN ('pending', 'unpaid', 'failed')"


def payment_writing(table: LegacyTable) -> TextClause:
    """Return the statement that marks bookings paid, in the words and columns of the table's layout."""
    layout = table.layout
    names = {**table.names, "paid_method": "upper(p.method)" if layout.paid_status.isupper() else "lower(p.method)"}
    assigned = {field: value.format(**names) for field, value in _ASSIGNMENTS.items() if field in layout.columns}
    assigned["status"] = f"'{literal(layout.paid_status)}'"
    names["assignments"] = ", ".join(f"{names[field]} = {value}" for field, value in assigned.items())
    names["unpaid"] = _UNPAID.format(**names) if layout.payment_status else "true"
    return text(_WRITE_PAYMENTS.format(**names))


@dataclass(slots=True)
class WriteBack:
    """Writes what the read model knows into the legacy rows. ``changed`` wakes the capture of what it wrote."""

    tables: LegacyTableCache
    changed: Signal
    zone: str

    async def run(self, service: Service) -> None:
        """Write until cancelled. An absent database is waited for."""
        poll = AdaptivePoll(shortest=0.25, longest=0.5)  # nobody waits for these writes: rather fewer, larger pages
        while True:
            try:
                written = await self.write_due(service.engine)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("write_back_interrupted", error=repr(error))
                await asyncio.sleep(_RECONNECT_SECONDS)
                continue
            await asyncio.sleep(poll.next(worked=written > 0))

    async def write_due(self, engine: AsyncEngine) -> int:
        """Go once through everything due, in pages of a transaction each; return how many bookings were settled."""
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            due = (await connection.execute(IS_DUE)).one()
        written = await self._write_all_payments(engine) if due.payments else 0
        if not due.links:
            return written
        async for links in self._pages(engine, _DUE_LINKS, self._write_links):
            # Between two pages of links, which an import brings by the hundred thousand, payments have their turn.
            written += links + await self._write_all_payments(engine)
        return written

    async def _write_all_payments(self, engine: AsyncEngine) -> int:
        payments = 0
        async for settled in self._pages(engine, _DUE_PAYMENTS, self._write_payments):
            payments += settled
        if payments:
            self.changed.set()
        return payments

    async def _pages(self, engine: AsyncEngine, due: TextClause, write: Write) -> AsyncIterator[int]:
        after = ""
        while True:
            settled = 0
            async with engine.begin() as connection:
                await connection.execute(_PREPARE, {"zone": self.zone})
                rows = (await connection.execute(due, {"after": after, "page": _PAGE})).mappings().all()
                if rows:
                    settled = await write(connection, rows)
            yield settled
            if len(rows) < _PAGE:
                return
            after = rows[-1]["booking_id"]

    async def _write_links(self, connection: AsyncConnection, rows: Sequence[RowMapping]) -> int:
        """Copy whose the bookings are, unless a trigger of the table's own would take that for a change of the row."""
        table = await self.tables.get(connection)
        users = await _users_now(connection, {row["booking_id"]: row["user_id"] for row in rows})
        if table.touching:
            await connection.execute(_LINKS_WRITTEN, {"ids": list(users)})
            return len(users)
        held = await hold(connection, table, list(users))
        mine = {"ids": list(held.statuses), "users": [users[booking_id] for booking_id in held.statuses]}
        await connection.execute(statement(_WRITE_LINKS, table), mine)
        await connection.execute(_LINKS_WRITTEN, {"ids": held.settled})
        return len(held.settled)

    async def _write_payments(self, connection: AsyncConnection, rows: Sequence[RowMapping]) -> int:
        table = await self.tables.get(connection)
        due = [row["booking_id"] for row in rows]
        payments = list((await connection.execute(_HOLD_PAYMENTS, {"ids": due})).scalars())
        held = await hold(connection, table, due)
        await connection.execute(payment_writing(table), {"ids": list(held.statuses)})
        cancelled = [booking_id for booking_id, status in held.statuses.items() if status == "cancelled"]
        marks = {"payments": payments, "ids": held.settled, "cancelled": cancelled, "missing": held.missing}
        for row in await connection.execute(_PAYMENTS_WRITTEN, marks):
            if row.flag:
                log.warning("payment_not_written", payment_id=row.payment_id, reason=row.flag)
        return len(held.settled)


async def _users_now(connection: AsyncConnection, users: Mapping[str, UUID | None]) -> dict[str, UUID | None]:
    """Return whose these bookings are. A link that comes after its booking's import was taken back is none.

    Only in capture's turn is it certain whether anything was told since; while somebody else has it, and holding these
    rows we must not wait, the bookings concerned are left for the next time.
    """
    doubtful = await taken_back(connection, [booking_id for booking_id, user in users.items() if user])
    if not doubtful:
        return dict(users)
    if not await take_turn(connection):
        return {booking_id: user for booking_id, user in users.items() if booking_id not in doubtful}
    return {**users, **dict.fromkeys(await let_go(connection, doubtful))}
