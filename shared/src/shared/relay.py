"""The relay: sends what is in the outbox, in order per subject, and forgets a row only after its confirm.

Invariants. A row in ``outbox`` is unsent or its confirm was not seen: it will be sent (again). Rows of one
subject are sent in ``seq`` order by one owner at a time. Ownership of a part is an advisory lock held by the
very connection that reads and deletes rows: if it is lost, the next read fails and nothing more is sent. The
moment of double sending this leaves is absorbed by the consumers' inboxes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import metrics
from shared.database import is_transient
from shared.events import BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE, EVENTS_HEADER, encode_batch
from shared.partitions import Partitions
from shared.publisher import NotPublished, Outgoing, Publisher
from shared.signal import AdaptivePoll, Pace, Signal
from shared.topology import EXCHANGE

log = structlog.get_logger(__name__)

_PAGE = 500
_BURST = 20  # rows found at once that are no longer one event after another: a message each would cost ten times more
_REBALANCE_SECONDS = 1.0
_LONGEST_BACKOFF = 30.0
_RECONNECT_SECONDS = 0.5
_PACE_SECONDS = 0.01

# Live batches are smaller: a consumer prefetches hundreds of messages and must hold them all in memory.
_LIVE_BATCH = 100
_BULK_BATCH = 500
_BATCH_BYTES = 4 * 1024 * 1024

# One lane's rows in seq order over all owned parts. Each lane has a relay of its own: what an import left to send never
# delays a payment.
_NEXT = text(
    """
    SELECT o.seq, o.bulk, l.event_id, l.type, l.subject, CAST(l.body AS text) AS body
    FROM outbox o JOIN event_log l USING (seq)
    WHERE o.bulk = :bulk AND o.part = ANY(CAST(:parts AS smallint[])) AND l.subject <> ALL(CAST(:held AS text[]))
    ORDER BY o.seq
    LIMIT :page
    """
)
# A session whose process is frozen or whose host is gone ends, and with it its locks, before the work piles up.
# And a plan made while the outbox was empty, as it is most of the time, takes seconds once it is full.
_PREPARE = text(
    """
    SELECT set_config('idle_session_timeout', '45s', false), set_config('tcp_keepalives_idle', '10', false),
           set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false),
           set_config('plan_cache_mode', 'force_custom_plan', false)
    """
)
_FORGET = text("DELETE FROM outbox WHERE seq = ANY(CAST(:seqs AS bigint[]))")
_NOTE_FAILURE = text(
    """
    UPDATE outbox SET attempts = attempts + 1, last_error = e.error
    FROM unnest(CAST(:seqs AS bigint[]), CAST(:errors AS text[])) AS e (seq, error)
    WHERE outbox.seq = e.seq
    """
)


class Relay:
    """Sends what one service's outbox holds of one lane, live or bulk. Any number of replicas share the work."""

    def __init__(
        self, engine: AsyncEngine, publisher: Publisher, signal: Signal, *, bulk: bool = False, batching: bool = True
    ) -> None:
        self._engine = engine
        self._publisher = publisher
        self._signal = signal
        self._bulk = bulk
        self._batching = batching
        self._held = HeldSubjects()

    async def run(self) -> None:
        """Send until cancelled. An unreachable database or broker is waited for, whatever it takes."""
        while True:
            try:
                await self._session()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("relay_interrupted", error=repr(error))
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _session(self) -> None:
        """Own parts and send their rows, for as long as the connection lives."""
        async with self._engine.connect() as connection:
            connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(_PREPARE)
            partitions = Partitions(connection, bulk=self._bulk)
            # Our own writers signal; the poll is for those of other replicas.
            poll, pace = AdaptivePoll(shortest=0.1), Pace(_PACE_SECONDS)
            try:
                while True:
                    await pace.begin()
                    owned = await partitions.share(every=_REBALANCE_SECONDS)
                    sent = await self._send_page(connection, owned)
                    pace.end(full=sent == _PAGE)
                    if sent < _PAGE:
                        await self._signal.wait(poll.next(worked=sent > 0))
            finally:
                # The locks belong to the session: never hand it back to the pool with them on it.
                await connection.invalidate()

    async def drain(self) -> int:
        """Send everything there is and return how many rows went; for tests and one-off commands."""
        total = 0
        async with self._engine.connect() as connection:
            connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
            owned = await Partitions(connection, bulk=self._bulk).share(every=0)
            while sent := await self._send_page(connection, owned):
                total += sent
            await connection.invalidate()
        return total

    async def _send_page(self, connection: AsyncConnection, owned: Sequence[int]) -> int:
        """Send the next rows and forget those confirmed; return how many were forgotten."""
        wanted = {"bulk": self._bulk, "parts": owned, "held": self._held.now(), "page": _PAGE}
        page = (await connection.execute(_NEXT, wanted)).mappings().all()
        if not page:
            return 0
        # Bulk rows go together however few they are: nobody waits for one of them, and their queue holds few messages.
        together = self._bulk or (self._batching and len(page) >= _BURST)
        parcels = pack(page) if together else [*map(_single, page)]
        with metrics.RELAY_SECONDS.time():
            outcomes = await self._publisher.publish([parcel.message for parcel in parcels])
        return await self._settle(connection, parcels, outcomes)

    async def _settle(
        self,
        connection: AsyncConnection,
        parcels: Sequence["Parcel"],
        outcomes: Sequence[NotPublished | None],
    ) -> int:
        """Forget what is safe; keep a failed row and all later rows of its subject, confirmed or not."""
        confirmed: list[int] = []
        failed: list[tuple[int, str]] = []
        stuck: set[str] = set()
        for parcel, outcome in zip(parcels, outcomes, strict=True):
            for row in parcel.rows:
                if outcome is None and row["subject"] not in stuck:
                    confirmed.append(row["seq"])
                    continue
                stuck.add(row["subject"])
                if outcome is not None:
                    failed.append((row["seq"], str(outcome)))
        self._held.settle({row["subject"] for parcel in parcels for row in parcel.rows}, stuck)
        if confirmed:
            await connection.execute(_FORGET, {"seqs": confirmed})
            metrics.RELAYED.inc(len(confirmed))
        if failed:
            await self._note(connection, failed)
        return len(confirmed)

    async def _note(self, connection: AsyncConnection, failed: Sequence[tuple[int, str]]) -> None:
        log.warning("relay_not_confirmed", rows=len(failed), error=failed[0][1])
        seqs, errors = zip(*failed, strict=True)
        await connection.execute(_NOTE_FAILURE, {"seqs": list(seqs), "errors": list(errors)})


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message and the outbox rows it carries."""

    message: Outgoing
    rows: Sequence[RowMapping]


class HeldSubjects:
    """Subjects whose last sending failed, each with its own growing pause, so that none blocks another.

    In memory on purpose: a restart simply tries again at once, oldest row first.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._pause: dict[str, float] = {}

    def now(self) -> list[str]:
        moment = asyncio.get_running_loop().time()
        return [subject for subject, until in self._until.items() if until > moment]

    def settle(self, tried: set[str], stuck: set[str]) -> None:
        for subject in tried - stuck:
            self._until.pop(subject, None)
            self._pause.pop(subject, None)
        moment = asyncio.get_running_loop().time()
        for subject in stuck:
            pause = min(self._pause.get(subject, 0.05) * 2, _LONGEST_BACKOFF)
            self._pause[subject], self._until[subject] = pause, moment + pause


def _single(row: RowMapping) -> Parcel:
    return Parcel(_message(row, row["body"].encode(), EVENT_CONTENT_TYPE), [row])


def pack(page: Sequence[RowMapping]) -> list[Parcel]:
    """Put rows of one type into one message, wherever they stand, as long as no row overtakes one of its own subject.

    What one fact causes (a person, then a link) comes in turns; by runs alone, nearly each would be a message.
    """
    batches: list[_Batch] = []
    open_: dict[tuple[str, bool], int] = {}
    last: dict[str, int] = {}  # subject → the batch its newest row is in: later rows go there or behind
    for row in page:
        key, subject = (row["type"], row["bulk"]), row["subject"]
        place = open_.get(key)
        if place is None or place < last.get(subject, 0) or not batches[place].has_room(row):
            place = open_[key] = len(batches)
            batches.append(_Batch())
        batches[place].add(row)
        last[subject] = place
    return [batch.parcel() for batch in batches]


@dataclass(slots=True)
class _Batch:
    """Rows of one type on their way into one message."""

    rows: list[RowMapping] = field(default_factory=list)
    size: int = 0

    def has_room(self, row: RowMapping) -> bool:
        most = _BULK_BATCH if row["bulk"] else _LIVE_BATCH
        return len(self.rows) < most and self.size + len(row["body"]) <= _BATCH_BYTES

    def add(self, row: RowMapping) -> None:
        self.rows.append(row)
        self.size += len(row["body"])

    def parcel(self) -> Parcel:
        if len(self.rows) == 1:
            return _single(self.rows[0])
        body = encode_batch([row["body"] for row in self.rows])
        headers = {EVENTS_HEADER: len(self.rows)}
        return Parcel(_message(self.rows[0], body, BATCH_CONTENT_TYPE, headers), self.rows)


def _message(row: RowMapping, body: bytes, content_type: str, headers: Mapping[str, int] | None = None) -> Outgoing:
    return Outgoing(
        body=body,
        exchange=EXCHANGE,
        routing_key=f"bulk.{row['type']}" if row["bulk"] else row["type"],
        content_type=content_type,
        message_id=str(row["event_id"]),
        headers=headers or {},
    )
