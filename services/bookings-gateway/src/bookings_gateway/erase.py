"""The erasing worker: what is left of erased users where the consumer must not wait: legacy rows, and our own history.

Bookings stay, with their amounts, dates, ids and references, and stay linked. Rows the legacy application holds are
skipped and come again. Doing it twice changes nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

import prometheus_client
import sqlalchemy.exc
import structlog
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.anchors import count_again
from bookings_gateway.capture import LOCK
from bookings_gateway.counts import put_counts_together
from bookings_gateway.customers import SORTS
from bookings_gateway.failed_changes import forget_failed, tell_persons
from bookings_gateway.forget import forget_before, forget_history
from bookings_gateway.held_rows import hold
from bookings_gateway.legacy_table import LegacyTable, LegacyTableCache, quoted
from bookings_gateway.personal import personal_columns
from bookings_gateway.rewritten import rewritten
from shared.database import describe, is_transient
from shared.forgotten_letters import forgetting_letters, naming
from shared.service import Service
from shared.signal import AdaptivePoll, Signal

log = structlog.get_logger(__name__)

_PAGE = 100
_RECONNECT_SECONDS = 0.5
_TEXTS = {"text", "character varying", "character", "citext"}

NOT_FORGOTTEN = prometheus_client.Counter(
    "bookings_not_forgotten_total", "Legacy rows of erased users that the table's own rules keep from being emptied"
)

# Links can come after the erasure, so this is asked anew every time; both sides have an index of the few that matter.
# A booking that was an erased user's before is theirs as a whole where it is nobody's now. One that users were never
# told of, by the import or by a change that was set aside, is known by the address; what was booked by it after the
# erasure is a new person's.
# Few are ever erased, which no statistics say of tables an import is filling: so it begins with them, for LATERAL and
# OFFSET 0 leave no other order to choose, and looks up the rest by index.
_DUE = text(
    """
    SELECT booking_id, bool_or(whole) AS whole FROM (
        SELECT b.booking_id, true AS whole FROM customer c CROSS JOIN LATERAL (
            SELECT booking_id FROM booking_user WHERE user_id = c.user_id AND NOT forgotten OFFSET 0) b
        WHERE c.erased_at IS NOT NULL
        UNION ALL
        SELECT b.booking_id, b.user_id IS NULL FROM customer c CROSS JOIN LATERAL (
            SELECT booking_id, forgotten FROM booking_user_before WHERE user_id = c.user_id OFFSET 0
        ) p CROSS JOIN LATERAL (
            SELECT booking_id, user_id, forgotten FROM booking_user WHERE booking_id = p.booking_id OFFSET 0) b
        WHERE c.erased_at IS NOT NULL AND (NOT p.forgotten OR (b.user_id IS NULL AND NOT b.forgotten))
        UNION ALL
        SELECT i.booking_id, true FROM customer c CROSS JOIN LATERAL (
            SELECT booking_id, booked_at FROM import_item WHERE person = c.erased_digest OFFSET 0) i
        WHERE c.erased_at IS NOT NULL AND coalesce(i.booked_at, '-infinity') <= c.erased_at
        UNION ALL
        SELECT f.booking_id, NOT EXISTS (
            SELECT FROM booking_user b LEFT JOIN customer owner USING (user_id)
            WHERE b.booking_id = f.booking_id AND b.user_id IS NOT NULL AND owner.erased_at IS NULL)
        FROM customer c CROSS JOIN LATERAL (
            SELECT booking_id, booked_at FROM booking_change_failed WHERE person = c.erased_digest OFFSET 0) f
        WHERE c.erased_at IS NOT NULL AND coalesce(f.booked_at, '-infinity') <= c.erased_at
    ) d
    WHERE booking_id > :after GROUP BY booking_id ORDER BY booking_id LIMIT :page
    """
)
_BY_INDEX = text("SELECT set_config('enable_seqscan', 'off', true)")
# Whatever is not to be had within a second, rows held meanwhile are given back first and it all comes again.
_ALONE = text(
    """
    SELECT set_config('lock_timeout', '1s', true), set_config('idle_in_transaction_session_timeout', '5s', true),
           pg_advisory_xact_lock(:key)
    """
)
_EMPTY = "UPDATE {table} b SET {emptied} WHERE b.{id} = ANY(CAST(CAST(:ids AS text[]) AS {id_type}[]))"
_NOT_NULL = text("SELECT attname FROM pg_attribute WHERE attrelid = :oid AND attnum > 0 AND attnotnull")

_DEAD_LETTERS = forgetting_letters(
    naming(
        """
        SELECT FROM customer c WHERE c.erased_at IS NOT NULL AND CAST(c.user_id AS text) = named.id
        UNION ALL
        SELECT FROM booking_user b WHERE b.forgotten AND b.booking_id = named.id
        """
    )
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
    """Removes erased users from the legacy rows and from our history. ``changed`` wakes the capture.

    ``zone`` is that of legacy times without one.
    """

    tables: LegacyTableCache
    changed: Signal
    zone: tzinfo = UTC
    refused: set[str] = field(default_factory=set)

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
        async with engine.begin() as connection:
            await tell_persons(connection, self.tables.layout, self.zone)
        while True:
            async with engine.connect() as connection:
                await connection.execute(_BY_INDEX)
                due = (await connection.execute(_DUE, {"after": after, "page": _PAGE})).all()
            settled += await self._settle(engine, due) if due else 0
            if len(due) < _PAGE:
                break
            after = due[-1].booking_id
        async with engine.begin() as connection:
            await connection.execute(_DEAD_LETTERS)
            await connection.execute(_WORDS)
        await count_again(engine, SORTS.values())
        if settled:
            self.changed.set()
        return settled

    async def _settle(self, engine: AsyncEngine, due: Sequence[Row[tuple[str, bool]]]) -> int:
        """Commit, in as few transactions as rows that cannot be emptied allow; such a row is left as it is."""
        try:
            async with engine.begin() as connection:
                return await self._forget(connection, due)
        except sqlalchemy.exc.DBAPIError as error:
            if is_transient(error):
                raise
            if len(due) == 1:
                self._report(due[0].booking_id, error)
                return 0
        middle = len(due) // 2
        return await self._settle(engine, due[:middle]) + await self._settle(engine, due[middle:])

    def _report(self, booking_id: str, error: Exception) -> None:
        """Say so once, though it is tried again every time."""
        if booking_id not in self.refused:
            log.error("booking_not_forgotten", booking_id=booking_id, error=describe(error))
            self.refused.add(booking_id)
            NOT_FORGOTTEN.inc()

    async def _forget(self, connection: AsyncConnection, due: Sequence[Row[tuple[str, bool]]]) -> int:
        await connection.execute(_ALONE, {"key": LOCK})
        table = await self.tables.get(connection)
        held = await hold(connection, table, [row.booking_id for row in due if row.whole])
        personal = personal_columns(table.columns, table.layout)
        columns = await _emptied(connection, table, personal)
        others_now = await rewritten(connection, table, list(held.statuses))  # they come again, until the link has come
        if columns:
            await connection.execute(_emptying(table, columns), {"ids": [*held.statuses.keys() - others_now]})
        ids = [booking_id for booking_id in held.settled if booking_id not in others_now]
        await forget_history(connection, ids, columns=personal)
        others = [row.booking_id for row in due if not row.whole]
        await forget_failed(connection, [*held.settled, *others], columns=personal)
        await forget_before(connection, others=others, settled=[*ids, *others])
        log.info("bookings_forgotten", bookings=len(ids), of_others=len(others))
        return len(ids) + len(others)


async def _emptied(connection: AsyncConnection, table: LegacyTable, personal: Sequence[str]) -> dict[str, str]:
    """Return the columns that can be emptied, each with what it is emptied to.

    JSON stays an object or an array, which the legacy application reads from without looking. A column that must hold
    something, and has no empty value, is left.
    """
    required = set((await connection.execute(_NOT_NULL, {"oid": table.oid})).scalars())
    emptied = {}
    for column in personal:
        type_ = table.columns[column]
        if column in table.generated:
            continue
        if type_ in {"json", "jsonb"}:
            array = f"left(ltrim(CAST(b.{quoted(column)} AS text)), 1) = '['"
            emptied[column] = f"CAST(CASE WHEN {array} THEN '[]' ELSE '{{}}' END AS {type_})"
        elif column == table.layout.contact:
            emptied[column] = "'{}'"
        elif column not in required:
            emptied[column] = "NULL"
        elif type_ in _TEXTS:
            emptied[column] = "''"
        elif type_.endswith("[]"):
            emptied[column] = "'{}'"
        else:
            log.warning("personal_column_left", column=column, type=type_)
    return emptied


def _emptying(table: LegacyTable, columns: dict[str, str]) -> TextClause:
    emptied = ", ".join(f"{quoted(column)} = {value}" for column, value in columns.items())
    return text(_EMPTY.format(emptied=emptied, **table.names))
