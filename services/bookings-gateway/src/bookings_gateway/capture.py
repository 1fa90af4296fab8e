"""The capture worker: what the trigger copied becomes events, in order, exactly once.

A captured row is deleted in the transaction that appends its event, so a crash anywhere leaves either both or none.
One replica works at a time, by an advisory lock that goes with the transaction.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from traceback import extract_tb

import prometheus_client
import structlog
from pydantic import ValidationError
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.domain import Layout, booking_snapshot, read_row
from bookings_gateway.taken_back import bring_back
from shared.contracts import BookingSnapshot
from shared.database import is_transient
from shared.event_log import NewEvent, append
from shared.events import explain
from shared.service import Service
from shared.signal import AdaptivePoll, Pace, Signal

log = structlog.get_logger(__name__)

PAGE = 500
LOCK = 7_301_955_101  # whoever holds it is the only one that turns captured changes into events
_RECONNECT_SECONDS = 0.5
_LONGEST_ID = 200
_PACE_SECONDS = 0.04  # bookings in quick succession share a transaction; one alone does not wait
_TYPES = {"I": "booking.created", "U": "booking.updated", "D": "booking.deleted"}

CAPTURED = prometheus_client.Counter("captured_changes_total", "Changes of the legacy table turned into events")
SET_ASIDE = prometheus_client.Counter("captured_changes_set_aside_total", "Changes no event could be made of")

# The table is empty most of the time, and a plan made for that takes long when it is full.
_TAKE_TURN = text("SELECT pg_try_advisory_xact_lock(:key), set_config('plan_cache_mode', 'force_custom_plan', true)")
_WAIT_FOR_TURN = text("SELECT pg_advisory_xact_lock(:key), set_config('plan_cache_mode', 'force_custom_plan', true)")
# A statement of its own after the lock: its snapshot then sees what the last holder deleted. Within one booking a
# later row cannot be visible before an earlier one, because its writer waited for the earlier commit. version is the
# booking's newest so far, 0 or NULL before the first; the lock keeps it still.
_NEXT = text(
    """
    SELECT seq, CAST(op AS text) AS op, booking_id, CAST(row AS text) AS row, changed_at, traceparent,
           (SELECT max(l.sequence) FROM event_log l WHERE l.subject = booking_id) AS version
    FROM booking_change ORDER BY seq LIMIT :page
    """
)
# A row deleted and inserted anew under its id (an undo, a restore) has lost the user's id it once got. One that tells
# of somebody again after it was emptied is the erasing worker's again; what that empties tells of nobody.
_FORGET = text(
    """
    WITH again AS (
        UPDATE booking_user
        SET written = written AND booking_id <> ALL(CAST(:inserted AS text[])),
            forgotten = forgotten AND booking_id <> ALL(CAST(:told AS text[]))
        WHERE (written AND booking_id = ANY(CAST(:inserted AS text[])))
            OR (forgotten AND booking_id = ANY(CAST(:told AS text[])))
    )
    DELETE FROM booking_change WHERE seq = ANY(CAST(:seqs AS bigint[]))
    """
)
_SET_ASIDE = text(
    """
    INSERT INTO booking_change_failed (seq, op, booking_id, row, changed_at, error)
    SELECT c.seq, c.op, c.booking_id, c.row, c.changed_at, failed.error
    FROM unnest(CAST(:seqs AS bigint[]), CAST(:errors AS text[])) AS failed (seq, error)
    JOIN booking_change c USING (seq)
    """
)


@dataclass(slots=True)
class Capture:
    """Turns captured changes into events. ``changed`` is set by our own writers, after their commit."""

    changed: Signal
    layout: Layout
    currency: str
    zone: tzinfo

    async def run(self, service: Service) -> None:
        """Capture until cancelled. An absent database is waited for."""
        pace = Pace(_PACE_SECONDS)
        poll = AdaptivePoll(shortest=0.08, longest=0.25)  # for the legacy application; our own writers signal
        while True:
            await pace.begin()
            try:
                count = await self.capture_page(service.engine, service.source)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("capture_interrupted", error=repr(error))
                await asyncio.sleep(_RECONNECT_SECONDS)
                continue
            pace.end(full=count == PAGE)
            if count:
                service.committed.set()
            if count < PAGE:
                await self.changed.wait(poll.next(worked=count > 0))

    async def capture_page(self, engine: AsyncEngine, source: str) -> int:
        """Turn the next changes into events in one transaction and return how many rows went."""
        async with engine.begin() as connection:
            if not await take_turn(connection):
                return 0
            return await self._capture(connection, source)

    async def capture_next(self, connection: AsyncConnection, source: str) -> int:
        """Wait for the turn, then turn the next changes into events; return how many rows went. The caller commits."""
        await connection.execute(_WAIT_FOR_TURN, {"key": LOCK})
        return await self._capture(connection, source)

    async def capture_first(self, connection: AsyncConnection, source: str) -> None:
        """Wait for the turn, then turn everything pending into events; the caller commits.

        Until then no change becomes an event: what the table holds and the changes do not was told, or never told.
        """
        while await self.capture_next(connection, source) == PAGE:
            pass

    async def _capture(self, connection: AsyncConnection, source: str) -> int:
        rows = (await connection.execute(_NEXT, {"page": PAGE})).mappings().all()
        if rows:
            await self._settle(connection, source, rows)
        return len(rows)

    async def _settle(self, connection: AsyncConnection, source: str, rows: Sequence[RowMapping]) -> None:
        versions = Tally({row["booking_id"]: row["version"] or 0 for row in rows})
        news, failed = self._translate(rows, versions)
        await append(connection, source, news)
        await bring_back(connection, {each.subject for each in news})
        if failed:
            await _set_aside(connection, failed)
        inserted = [row["booking_id"] for row in rows if row["op"] == "I"]
        told = [each.subject for each in news if _tells_of_somebody(each.data)]
        seqs = [row["seq"] for row in rows]
        await connection.execute(_FORGET, {"inserted": inserted, "told": told, "seqs": seqs})
        CAPTURED.inc(len(news))

    def _translate(
        self, rows: Sequence[RowMapping], versions: Tally[str]
    ) -> tuple[list[NewEvent], list[tuple[RowMapping, Exception]]]:
        """Make an event of each row, counting its booking's version on; what fails is returned with its error."""
        news: list[NewEvent] = []
        failed: list[tuple[RowMapping, Exception]] = []
        for row in rows:
            try:
                news.append(self._event(row, versions[row["booking_id"]] + 1))
            except (LookupError, ValueError, ArithmeticError, TypeError, RecursionError) as error:
                failed.append((row, error))
            else:
                versions[row["booking_id"]] += 1
        return news, failed

    def _event(self, row: RowMapping, sequence: int) -> NewEvent:
        if not 1 <= len(row["booking_id"]) <= _LONGEST_ID:
            raise ValueError("the booking's id is empty or too long to be an event's subject")
        snapshot = booking_snapshot(read_row(row["row"]), self.layout, currency=self.currency, zone=self.zone)
        return NewEvent(
            type=_TYPES[row["op"]],
            subject=row["booking_id"],
            sequence=sequence,
            time=row["changed_at"],
            data=snapshot,
            traceparent=row["traceparent"],
        )


async def take_turn(connection: AsyncConnection) -> bool:
    """Have capture's turn until the transaction ends, unless somebody else has it."""
    return bool((await connection.execute(_TAKE_TURN, {"key": LOCK})).scalar_one())


def _tells_of_somebody(data: object) -> bool:
    return isinstance(data, BookingSnapshot) and any(value for _, value in data.contact)


async def _set_aside(connection: AsyncConnection, failed: Sequence[tuple[RowMapping, Exception]]) -> None:
    for row, error in failed:
        log.error("booking_change_set_aside", seq=row["seq"], booking_id=row["booking_id"], error=type(error).__name__)
    seqs = [row["seq"] for row, _ in failed]
    errors = [_kind_and_place(error) for _, error in failed]
    await connection.execute(_SET_ASIDE, {"seqs": seqs, "errors": errors})
    SET_ASIDE.inc(len(failed))


def _kind_and_place(error: Exception) -> str:
    """Say what went wrong and where, and nothing of the values: they may be personal data."""
    if isinstance(error, ValidationError):
        return f"{type(error).__name__}: {explain(error)}"
    return f"{type(error).__name__} in {extract_tb(error.__traceback__)[-1].name}"
