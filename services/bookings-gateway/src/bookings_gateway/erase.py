"""The erasing worker: what is left of erased users where the consumer must not wait: legacy rows, and our own history.

Bookings stay, with their amounts, dates, ids and references, and stay linked. Rows the legacy application holds are
skipped and come again. Doing it twice changes nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.capture import LOCK
from bookings_gateway.counts import put_counts_together
from bookings_gateway.domain import PERSONAL_COLUMNS
from bookings_gateway.legacy_table import LegacyTable, LegacyTableCache, quoted, statement
from shared.database import is_transient
from shared.service import Service
from shared.signal import AdaptivePoll, Signal

log = structlog.get_logger(__name__)

_PAGE = 100
_RECONNECT_SECONDS = 0.5

# Links can come after the erasure, so this is asked anew every time; both sides have an index of the few that matter.
_DUE = text(
    """
    SELECT b.booking_id FROM customer c JOIN booking_user b USING (user_id)
    WHERE c.erased_at IS NOT NULL AND NOT b.forgotten AND b.booking_id > :after
    ORDER BY b.booking_id LIMIT :page
    """
)
# Without the capture at work, nothing turns from a captured row into an event between the statements below.
_ALONE = text("SELECT pg_advisory_xact_lock(:key), set_config('idle_in_transaction_session_timeout', '5s', true)")
_HOLD = """
    SELECT CAST(b.{id} AS text) FROM {table} b
    WHERE b.{id} = ANY(CAST(CAST(:ids AS text[]) AS {id_type}[])) FOR NO KEY UPDATE OF b SKIP LOCKED
"""
_EXISTING = """
    SELECT CAST(b.{id} AS text) FROM {table} b WHERE b.{id} = ANY(CAST(CAST(:ids AS text[]) AS {id_type}[]))
"""
_EMPTY = "UPDATE {table} b SET {emptied} WHERE b.{id} = ANY(CAST(CAST(:ids AS text[]) AS {id_type}[]))"
_NOT_NULL = text("SELECT attname FROM pg_attribute WHERE attrelid = :oid AND attnum > 0 AND attnotnull")

# The history keeps each version and its time; who it was is taken out of it.
_EVENTS = text(
    """
    UPDATE event_log SET body = CAST(jsonb_set(CAST(body AS jsonb), '{data,contact}', '{}') AS json)
    WHERE subject = ANY(CAST(:ids AS text[])) AND CAST(body -> 'data' ->> 'contact' AS text) <> '{}'
    """
)
_CAPTURED = """
    UPDATE {captured} SET row = (
        SELECT json_object_agg(key, value) FROM json_each(row) WHERE key <> ALL (CAST(:columns AS text[])))
    WHERE booking_id = ANY(CAST(:ids AS text[]))
"""
_CAPTURED_CHANGES = text(_CAPTURED.format(captured="booking_change"))
_CAPTURED_FAILED = text(_CAPTURED.format(captured="booking_change_failed"))
# A trigger empties the row, now and whatever comes later.
_SUMMARIES = text(
    """
    INSERT INTO booking_summary (booking_id, sequence, deleted, currency, forgotten)
    SELECT booking_id, 0, true, '', true FROM unnest(CAST(:ids AS text[])) AS booking_id ORDER BY booking_id
    ON CONFLICT (booking_id) DO UPDATE SET forgotten = true
    """
)
_FORGOTTEN = text("UPDATE booking_user SET forgotten = true WHERE booking_id = ANY(CAST(:ids AS text[]))")

_DEAD_LETTERS = text(
    """
    UPDATE dead_letter d SET body = '', reason = 'the person was erased', x_death = NULL,
        state = 'discarded', decided_at = now(), decided_by = 'erase'
    WHERE d.body <> '' AND (
        EXISTS (SELECT FROM customer c WHERE c.erased_at IS NOT NULL AND CAST(c.user_id AS text) = d.subject)
        OR EXISTS (SELECT FROM booking_user b WHERE b.forgotten AND b.booking_id = d.subject))
    """
)
# A word that nobody else has goes.
_WORDS = text(
    """
    WITH unsure AS (DELETE FROM search_word_unsure RETURNING word)
    DELETE FROM search_word w USING unsure u
    WHERE w.word = u.word
        AND NOT EXISTS (SELECT FROM customer WHERE search @@ CAST(quote_literal(u.word) AS tsquery))
        AND NOT EXISTS (SELECT FROM booking_summary WHERE search @@ CAST(quote_literal(u.word) AS tsquery))
    """
)


@dataclass(frozen=True, slots=True)
class Erase:
    """Removes erased users from the legacy rows and from our history. ``changed`` wakes the capture."""

    tables: LegacyTableCache
    changed: Signal

    async def run(self, service: Service) -> None:
        """Erase until cancelled. An absent database is waited for."""
        poll = AdaptivePoll(shortest=0.5, longest=2.0)
        while True:
            try:
                settled = await self.erase_due(service.engine)
                await put_counts_together(service.engine)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("erase_interrupted", error=type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)
                continue
            await asyncio.sleep(poll.next(worked=settled > 0))

    async def erase_due(self, engine: AsyncEngine) -> int:
        """Go once through everything due, in pages of a transaction each; return how many bookings were settled."""
        settled, after = 0, ""
        while True:
            async with engine.begin() as connection:
                due = list((await connection.execute(_DUE, {"after": after, "page": _PAGE})).scalars())
                if due:
                    settled += await self._forget(connection, due)
            if len(due) < _PAGE:
                break
            after = due[-1]
        async with engine.begin() as connection:
            await connection.execute(_DEAD_LETTERS)
            await connection.execute(_WORDS)
        if settled:
            self.changed.set()
        return settled

    async def _forget(self, connection: AsyncConnection, due: Sequence[str]) -> int:
        await connection.execute(_ALONE, {"key": LOCK})
        table = await self.tables.get(connection)
        held, missing = await _hold(connection, table, due)
        columns = await _personal(connection, table)
        await connection.execute(_emptying(table, columns), {"ids": held})
        ids = [*held, *missing]
        for captured in (_CAPTURED_CHANGES, _CAPTURED_FAILED):
            await connection.execute(captured, {"ids": ids, "columns": list(columns)})
        for forgetting in (_EVENTS, _SUMMARIES, _FORGOTTEN):
            await connection.execute(forgetting, {"ids": ids})
        log.info("bookings_forgotten", bookings=len(ids))
        return len(ids)


async def _hold(connection: AsyncConnection, table: LegacyTable, due: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the rows locked for us, and the ids of which there is none."""
    possible = {"ids": [booking_id for booking_id in due if table.can_be_id(booking_id)]}
    held = list((await connection.execute(statement(_HOLD, table), possible)).scalars())
    existing = set((await connection.execute(statement(_EXISTING, table), possible)).scalars())
    return held, [booking_id for booking_id in due if booking_id not in existing]


async def _personal(connection: AsyncConnection, table: LegacyTable) -> dict[str, str]:
    """Return the columns that tell of people, each with what it is emptied to.

    JSON stays an object or an array, which the legacy application reads from without looking.
    """
    required = set((await connection.execute(_NOT_NULL, {"oid": table.oid})).scalars())
    emptied = {}
    contact = table.layout.contact
    for column in filter(None, (contact, *table.layout.contact_columns.values(), *PERSONAL_COLUMNS)):
        type_ = table.columns.get(column)
        if type_ is None or column in table.generated:
            continue
        if type_ in {"json", "jsonb"}:
            array = f"left(ltrim(CAST(b.{quoted(column)} AS text)), 1) = '['"
            emptied[column] = f"CAST(CASE WHEN {array} THEN '[]' ELSE '{{}}' END AS {type_})"
        elif column == contact:
            emptied[column] = "'{}'"
        else:
            emptied[column] = "''" if column in required else "NULL"
    return emptied


def _emptying(table: LegacyTable, columns: dict[str, str]) -> TextClause:
    emptied = ", ".join(f"{quoted(column)} = {value}" for column, value in columns.items())
    return text(_EMPTY.format(emptied=emptied, **table.names))
