"""The group-committing consumer: what is waiting becomes one transaction, then one acknowledgement.

The path of a delivery: FastStream hands it to :class:`Buffer` and returns; :class:`Consumer` takes what is there,
applies it in one transaction together with the events' ids, and acknowledges the whole group with one frame.
Nothing is acknowledged before its effect is committed or the event is safe in a retry or dead-letter queue.

* An error of circumstance (database or broker away, deadlock) is nobody's fault: the same group is tried again.
* An error of data bisects the group until the one event at fault is alone; the rest commits.
* Groups are taken in delivery order from one channel, so "acknowledge up to here" covers exactly the group.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import aiormq
import structlog
from aio_pika.abc import AbstractIncomingMessage
from aiormq.abc import AbstractChannel
from opentelemetry.trace import Span
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import metrics, suspects, tracing
from shared.channel import BROKER_TROUBLE
from shared.database import describe, is_transient
from shared.events import BATCH_CONTENT_TYPE, EVENTS_HEADER, Event, Undecodable, decode
from shared.failures import Failure, Failures
from shared.signal import Pace

T = TypeVar("T")

log = structlog.get_logger(__name__)

GROUP = 500
_FULL = GROUP // 2  # the next batch may not have fitted in
_LONGEST_BACKOFF = 5.0
_STOP_SECONDS = 10.0
_PACE_SECONDS = 0.015


@dataclass(frozen=True, slots=True)
class Group:
    """Events applied together. ``bulk`` ones came by the bulk queue, and so must what they cause."""

    events: Sequence[Event]
    bulk: bool = False


class Handler(Protocol):
    """What a service does with events: its message door."""

    @property
    def types(self) -> frozenset[str]:
        """The event types it wants; others are counted and acknowledged."""
        ...

    async def claim(self, connection: AsyncConnection, events: Sequence[Event]) -> list[Event]:
        """Record the events' ids and return those not seen before."""
        ...

    async def apply(self, connection: AsyncConnection, group: Group) -> bool:
        """Apply new events in the caller's transaction; return whether it recorded events of its own.

        May run again for the same events after a rollback.
        """
        ...


@dataclass(slots=True)
class Progress:
    """What readiness looks at."""

    last_settled: float = 0.0
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery and the channel it came on, noted while that is open: it must be acknowledged there or nowhere."""

    delivery: AbstractIncomingMessage
    channel: AbstractChannel
    tag: int

    def is_before(self, other: "Arrival") -> bool:
        return self.channel is other.channel and self.tag < other.tag


class Buffer:
    """Deliveries of one consumer, until the committer takes them: always the next ones, without a gap.

    Delivery tags count 1, 2, 3 … on each channel. A group without a gap is what makes "acknowledge up to here"
    safe whatever order the tasks that fill this buffer happen to run in. Deliveries of a closed channel are
    dropped: the broker has taken them back and delivers them again, on a new one.
    """

    def __init__(self) -> None:
        self._arrivals: list[Arrival] = []
        self._channel: AbstractChannel | None = None
        self._next_tag = 1
        self._arrived = asyncio.Event()

    def put(self, delivery: AbstractIncomingMessage) -> None:
        try:
            arrival = Arrival(delivery, delivery.channel, delivery.delivery_tag or 0)
        except aiormq.exceptions.ChannelInvalidStateError:
            return  # closed before we came to look: it is delivered again
        position = len(self._arrivals)
        while position and arrival.is_before(self._arrivals[position - 1]):
            position -= 1
        self._arrivals.insert(position, arrival)
        self._arrived.set()

    async def filled(self) -> None:
        """Return when there is something to take."""
        while not self._group_length():
            self._arrived.clear()
            await self._arrived.wait()

    async def take(self) -> list[Arrival]:
        """Return the next deliveries, about a group of events; waits for the first, never for more."""
        await self.filled()
        count = self._group_length()
        taken, self._arrivals = self._arrivals[:count], self._arrivals[count:]
        self._channel, self._next_tag = taken[-1].channel, taken[-1].tag + 1
        return taken

    def _group_length(self) -> int:
        """How many deliveries make the next group: one open channel, no gap, at most a group of events."""
        self._drop_closed()
        if not self._arrivals:
            return 0
        channel = self._arrivals[0].channel
        tag = self._next_tag if channel is self._channel else 1
        events = 0
        for position, arrival in enumerate(self._arrivals):
            events += _weight(arrival.delivery)
            is_next = arrival.channel is channel and arrival.tag == tag + position
            if not is_next or (position and events > GROUP):
                return position
        return len(self._arrivals)

    def _drop_closed(self) -> None:
        if self._arrivals and self._arrivals[0].channel.is_closed:
            self._arrivals = [arrival for arrival in self._arrivals if not arrival.channel.is_closed]


@dataclass(slots=True)
class Consumer:
    """Settles one queue's deliveries. Live and bulk queue have one each, so neither waits for the other.

    ``after_commit`` is called when applying recorded events of our own, which are to be sent.
    """

    queue: str
    engine: AsyncEngine
    handler: Handler
    failures: Failures
    after_commit: Callable[[], None]
    bulk: bool = False
    buffer: Buffer = field(default_factory=Buffer)
    progress: Progress = field(default_factory=Progress)

    async def run(self) -> None:
        """Settle deliveries until cancelled; a group under way is finished first."""
        pace = Pace(_PACE_SECONDS)
        while True:
            await self.buffer.filled()
            await pace.begin()
            group = await self.buffer.take()
            settling = asyncio.ensure_future(self._settle_surely(group))
            try:
                await asyncio.shield(settling)
            except asyncio.CancelledError:
                await asyncio.wait([settling], timeout=_STOP_SECONDS)
                raise
            pace.end(full=sum(_weight(arrival.delivery) for arrival in group) >= _FULL)

    async def _settle_surely(self, group: Sequence[Arrival]) -> None:
        """Settle the group, again after a defect of ours: letting go of it would let a later one acknowledge it."""
        while True:
            try:
                return await self.settle(group)
            except Exception as error:
                log.exception("settle_failed", queue=self.queue)
                await self._pause(_LONGEST_BACKOFF, error)

    async def settle(self, arrivals: Sequence[Arrival]) -> None:
        """Apply one group and acknowledge it. A lost channel is no failure: its deliveries come again."""
        failures, events = self._sort(arrivals)
        alone = any(suspects.is_suspect(arrival.delivery) for arrival in arrivals)
        failures += await (self._apply_alone(events) if alone else self._apply(events))
        channel = arrivals[-1].channel
        if not failures or await self._move(failures, channel):
            await self._acknowledge(channel, arrivals[-1].tag)
        self.progress.last_settled = asyncio.get_running_loop().time()

    async def _move(self, failures: Sequence[Failure], channel: AbstractChannel) -> bool:
        """Bring failed events to safety; ``False`` if the channel closed before, and all is delivered again."""
        while not channel.is_closed:
            try:
                await self.failures.move(failures)
            except ConnectionError as error:
                await self._pause(1.0, error)
            else:
                self.progress.trouble = None
                return True
        return False

    async def _acknowledge(self, channel: AbstractChannel, tag: int) -> None:
        try:
            await channel.basic_ack(tag, multiple=True)
        except BROKER_TROUBLE as error:
            log.warning("acknowledge_failed", queue=self.queue, error=repr(error))

    def _sort(self, arrivals: Sequence[Arrival]) -> tuple[list[Failure], list["Delivered"]]:
        """Decode; set aside what is no event, drop what this service does not want."""
        failures: list[Failure] = []
        events: list[Delivered] = []
        for delivery in (arrival.delivery for arrival in arrivals):
            for item in decode(delivery.body, delivery.content_type):
                if isinstance(item, Undecodable):
                    failures.append(Failure.undecodable(item, delivery))
                elif item.type in self.handler.types:
                    events.append(Delivered(item, delivery))
                else:
                    metrics.CONSUMED.labels(self.queue, "unknown").inc()
        return failures, events

    async def _apply(self, delivered: Sequence["Delivered"]) -> list[Failure]:
        """Commit the events, in as few transactions as their faults allow; return the events at fault."""
        if not delivered:
            return []
        fault = await self._commit([item.event for item in delivered])
        if fault is None:
            return []
        if len(delivered) == 1:
            return [Failure.of(delivered[0].event, delivered[0].delivery, fault)]
        middle = len(delivered) // 2
        return await self._apply(delivered[:middle]) + await self._apply(delivered[middle:])

    async def _apply_alone(self, delivered: Sequence["Delivered"]) -> list[Failure]:
        """Apply one by one, each noted before, so that an event which kills the process is found out."""
        failures: list[Failure] = []
        for item in delivered:
            tries = await self._patiently(partial(suspects.note, self.engine, item.event))
            if tries > suspects.DEATHS_ALLOWED:
                died = suspects.KillsTheProcess(f"the process died {tries - 1} times while applying it alone")
                failures.append(Failure.of(item.event, item.delivery, died))
            else:
                failures += await self._apply([item])
            await self._patiently(partial(suspects.clear, self.engine, item.event))
        return failures

    async def _commit(self, events: Sequence[Event]) -> Exception | None:
        """Run one transaction; waits out circumstance, returns an error of data."""
        try:
            await self._patiently(partial(self._transaction, events))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the event's fault
            return error
        return None

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, again and again while only circumstance is against it."""
        pause = 0.05
        while True:
            try:
                result = await work()
            except Exception as error:
                if not is_transient(error):
                    raise
                await self._pause(pause, error)
                pause = min(pause * 2, _LONGEST_BACKOFF)
            else:
                self.progress.trouble = None
                return result

    async def _transaction(self, events: Sequence[Event]) -> None:
        with metrics.GROUP_SECONDS.time(), self._span(events):
            async with self.engine.begin() as connection:
                fresh = await self.handler.claim(connection, events)
                recorded = bool(fresh) and await self.handler.apply(connection, Group(fresh, bulk=self.bulk))
        if recorded:
            self.after_commit()
        metrics.GROUP_EVENTS.observe(len(events))
        metrics.CONSUMED.labels(self.queue, "applied").inc(len(fresh))
        metrics.CONSUMED.labels(self.queue, "duplicate").inc(len(events) - len(fresh))

    def _span(self, events: Sequence[Event]) -> AbstractContextManager[Span]:
        return tracing.tracer.start_as_current_span(
            f"apply {self.queue}", links=tracing.links([event.traceparent for event in events])
        )

    async def _pause(self, seconds: float, error: Exception) -> None:
        self.progress.trouble = describe(error)
        log.warning("consumer_waiting", queue=self.queue, seconds=seconds, error=describe(error))
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Delivered:
    """An event and the delivery it came in."""

    event: Event
    delivery: AbstractIncomingMessage


def _weight(delivery: AbstractIncomingMessage) -> int:
    """How many events a delivery carries, by its header: decoding waits until its group's turn."""
    if delivery.content_type != BATCH_CONTENT_TYPE:
        return 1
    events = delivery.headers.get(EVENTS_HEADER)
    return events if isinstance(events, int) else GROUP
