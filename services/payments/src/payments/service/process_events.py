"""Process: stored events become state, outgoing events and `processed`, all in one transaction per group.

The stored row is the queue. A row is claimed by locking it, so a crash gives it back at once; whoever claims it
next finds it as it was.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import orjson
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments import metrics, models
from payments.errors import GroupFailed
from payments.service.announce import Cause
from payments.service.examine import Examined, Expected, State, Stored, examine
from payments.service.ledger import Ledger
from shared import event_log
from shared.database import is_transient
from shared.turns import in_turns

log = structlog.get_logger(__name__)

GROUP = 400
_BACKOFF_SECONDS = (10, 60, 600, 3600)
_LONGEST_ERROR = 2_000

# SKIP LOCKED: replicas share the queue without waiting for each other. All deliveries of an event tell the same;
# the first is read.
_CLAIM = text(
    """
    SELECT e.id, e.type, e.attempts, e.traceparent, e.received_at, d.body
    FROM stripe_event e
    JOIN LATERAL (SELECT body FROM stripe_delivery WHERE event_id = e.id ORDER BY id LIMIT 1) d ON true
    WHERE e.next_attempt_at <= now() AND (CAST(:only AS text[]) IS NULL OR e.id = ANY(CAST(:only AS text[])))
    ORDER BY e.next_attempt_at
    LIMIT :limit
    FOR UPDATE OF e SKIP LOCKED
    """
)
_DECIDE = text(
    """
    UPDATE stripe_event SET
        state = r.state, error = r.error, attempts = r.attempts, decided_at = now(),
        next_attempt_at = now() + make_interval(secs => r.pause), created = r.created,
        api_version = r.api_version, livemode = r.livemode, account = r.account, object_id = r.object_id,
        mentions = r.mentions, addresses = r.addresses
    FROM json_to_recordset(CAST(:rows AS json)) AS r (
        id text, state text, error text, attempts integer, pause double precision, created timestamptz,
        api_version text, livemode boolean, account text, object_id text, mentions text[],
        addresses bytea[]
    )
    WHERE stripe_event.id = r.id
    """
)
# Only while it is still due: another replica may have applied it meanwhile.
_FAIL = text(
    """
    UPDATE stripe_event SET
        state = 'failed', error = :error, attempts = attempts + 1, decided_at = now(),
        next_attempt_at = now() + make_interval(secs => (CAST(:pauses AS double precision[]))[attempts + 1])
    WHERE id = :id AND next_attempt_at IS NOT NULL
    """
)

for _state in State:  # told from the start, at nought, as the deliveries are
    metrics.EVENTS.labels(_state)


class EventProcessor:
    """Applies stored events. Any number of replicas share the work."""

    def __init__(self, engine: AsyncEngine, source: str, expected: Expected) -> None:
        self._engine = engine
        self._source = source
        self._expected = expected

    async def process_due(self, *, limit: int = GROUP) -> int:
        """Settle the next due events, ``limit`` at most, and commit; return how many there were.

        An event at fault is found by halving the group and becomes `failed`; the rest commits. Raises what the
        database raises when circumstance is to blame: nothing is settled then.
        """
        try:
            return await self._commit(None, limit=limit)
        except GroupFailed as failed:
            await self._isolate(failed)
            return len(failed.ids)

    async def _isolate(self, failed: GroupFailed) -> None:
        if len(failed.ids) == 1:
            await self._fail(failed.ids[0], failed.cause)
            return
        middle = len(failed.ids) // 2
        for half in (failed.ids[:middle], failed.ids[middle:]):
            try:
                await self._commit(half, limit=len(half))
            except GroupFailed as again:
                await self._isolate(again)

    async def _commit(self, only: list[str] | None, *, limit: int) -> int:
        """Claim and settle in one transaction; raises :class:`GroupFailed` when one of the events is at fault."""
        async with self._engine.begin() as connection:
            claimed = await connection.execute(_CLAIM, {"only": only, "limit": limit})
            stored = [Stored(*row) for row in claimed]
            if not stored:
                return 0
            await models.find_by_key(connection)
            try:
                examined = [examine(each, self._expected) async for each in in_turns(stored)]
                await self._apply(connection, examined)
                await self._decide(connection, examined)
            except Exception as error:
                if is_transient(error):
                    raise
                raise GroupFailed([each.id for each in stored], error) from error
        for state, count in Counter(each.state for each in examined).items():
            metrics.EVENTS.labels(state).inc(count)
        return len(stored)

    async def _apply(self, connection: AsyncConnection, examined: Sequence[Examined]) -> None:
        """Apply the readable ones, oldest first: fewer snapshots that are news only until the next event."""
        readable = [each for each in examined if each.shown]
        if not readable:
            return
        ledger = await Ledger.load(connection, [shown for each in readable for shown in each.shown])
        async for each in in_turns(sorted(readable, key=_order)):
            time = datetime.fromtimestamp(each.shown[0].version.seen, UTC)
            ledger.apply(each.shown, Cause(time, each.stored.traceparent))
        await ledger.save(connection)
        await event_log.append(connection, self._source, ledger.news)

    async def _decide(self, connection: AsyncConnection, examined: Sequence[Examined]) -> None:
        rows = [each.columns(_BACKOFF_SECONDS) for each in examined]
        await connection.execute(_DECIDE, {"rows": orjson.dumps(rows).decode()})

    async def _fail(self, id_: str, cause: Exception) -> None:
        told = getattr(cause, "orig", None) or cause  # the database's own words, without the parameters
        reason = f"{type(cause).__name__}: {told}".replace("\x00", "")[:_LONGEST_ERROR]
        pauses = [float(pause) for pause in _BACKOFF_SECONDS]
        async with self._engine.begin() as connection:
            await connection.execute(_FAIL, {"id": id_, "error": reason, "pauses": pauses})
        metrics.EVENTS.labels(State.FAILED).inc()
        log.error("stripe_event_failed", stripe_event_id=id_, error=type(cause).__name__)


def _order(each: Examined) -> tuple[int, str]:
    return each.shown[0].version.seen, each.stored.id
