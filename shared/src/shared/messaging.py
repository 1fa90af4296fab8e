"""A process's side of the broker: queues declared and mended, subscribers started, health told.

The broker may be away at any moment, at start too: the service then runs on, and this resumes by itself.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from aio_pika import IncomingMessage
from aio_pika.abc import AbstractIncomingMessage
from aiormq.abc import AbstractChannel, DeliveredMessage
from faststream import AckPolicy
from faststream.message import StreamMessage
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from faststream.rabbit.message import RabbitMessage

from shared import metrics
from shared.channel import BROKER_TROUBLE, ReopeningChannel
from shared.consumer import Buffer, Consumer
from shared.dead_letters import DeadLetters
from shared.topology import EXCHANGE, UNROUTED, Topology, TopologyConflict, declare

log = structlog.get_logger(__name__)

LIVE_PREFETCH = 1000
BULK_PREFETCH = 4  # one message there may be 500 events
_DEAD_PREFETCH = 20
_KEEP_SECONDS = 3.0
_DECLARE_SECONDS = 15.0
_PROBE_SECONDS = 2.0
_STALLED_SECONDS = 15.0
_REDRIVE_PAGE = 50  # messages, each up to some megabytes of batch
_REDRIVE_SECONDS = 5.0


@dataclass(slots=True)
class Messaging:
    """Everything between the broker and a service's handler.

    ``consumers`` are those of this process. Where there are ``dead_letters`` it also keeps those, and sends on what no
    queue took: one process of a service is enough for that.
    """

    url: str
    topology: Topology
    consumers: Sequence[Consumer]
    dead_letters: DeadLetters | None
    broker: RabbitBroker = field(init=False)
    _admin: ReopeningChannel = field(init=False)
    _redriver: ReopeningChannel = field(init=False)
    _trouble: str | None = field(default="not started", init=False)

    def __post_init__(self) -> None:
        self._admin = ReopeningChannel(self.url)
        self._redriver = ReopeningChannel(self.url)
        self.broker = RabbitBroker(self.url, logger=None, apply_types=False, reconnect_interval=0.5, graceful_timeout=5)
        for consumer in self.consumers:
            self._subscribe(consumer.queue, consumer.buffer, BULK_PREFETCH if consumer.bulk else LIVE_PREFETCH)
        if self.dead_letters:
            self._subscribe_dead(self.dead_letters)

    def _subscribe(self, queue: str, buffer: Buffer, prefetch: int) -> None:
        """Deliveries go to the buffer; the consumer acknowledges them after its commit."""

        @self.broker.subscriber(
            _queue(queue),
            channel=Channel(prefetch_count=prefetch),
            ack_policy=AckPolicy.MANUAL,
            parser=_as_is,
            decoder=_undecoded,
            no_reply=True,
            title=queue,
            description="CloudEvents, one or a batch; applied in groups, acknowledged after the commit.",
        )
        async def take(delivery: AbstractIncomingMessage) -> None:
            buffer.put(delivery)

    def _subscribe_dead(self, dead_letters: DeadLetters) -> None:
        @self.broker.subscriber(
            _queue(self.topology.dead),
            channel=Channel(prefetch_count=_DEAD_PREFETCH),
            ack_policy=AckPolicy.NACK_ON_ERROR,  # this queue may redeliver for ever
            parser=_as_is,
            decoder=_undecoded,
            no_reply=True,
            title=self.topology.dead,
            description="Events that could not be applied; written to the table an operator works from.",
        )
        async def keep(delivery: AbstractIncomingMessage) -> None:
            await dead_letters.keep(delivery)

    async def run(self) -> None:
        """Declare, start, and keep both true until cancelled."""
        try:
            while True:
                await self._keep()
                if self.dead_letters:
                    await self._redrive()
                await asyncio.sleep(_KEEP_SECONDS)
        finally:
            await self._stop()

    async def _keep(self) -> None:
        """Mend topology and consumers, note what is wrong."""
        try:
            async with asyncio.timeout(_DECLARE_SECONDS):
                channel = await self._admin.get()
                await declare(channel, self.topology)
                await self._start_broker()
                self._trouble = None
        except (*BROKER_TROUBLE, TopologyConflict) as error:
            self._trouble = f"{type(error).__name__}: {error}"
            log.warning("broker_unavailable", error=repr(error))
            await self._admin.aclose()  # a silent broker's channel never says that it is dead

    async def _start_broker(self) -> None:
        """Start the subscribers, or stop what half of a failed start left behind."""
        if self.broker.running:
            return
        try:
            await self.broker.start()
        except BROKER_TROUBLE:
            await self.broker.stop()
            raise

    async def _redrive(self) -> None:
        """Send on what no queue took, now that ours are declared again, as long as it gets less, and not for long.

        An event that another service's missing binding is to blame for comes back, and is tried again next time.
        """
        try:
            async with asyncio.timeout(_REDRIVE_SECONDS):
                channel = await self._redriver.get()
                before = 0
                while waiting := (await channel.queue_declare(UNROUTED, passive=True)).message_count:
                    if waiting == before:
                        return
                    before = waiting
                    await _send_on(channel)
        except BROKER_TROUBLE as error:
            log.warning("redrive_interrupted", error=repr(error))
            # What was fetched and not sent goes back to the queue with its channel; on a living one it would
            # stay out of sight, and the next "acknowledge up to here" would take it along.
            await self._redriver.aclose()

    async def _stop(self) -> None:
        await self.broker.stop()
        await self._admin.aclose()
        await self._redriver.aclose()

    async def health(self) -> str | None:
        """Return what is wrong with the broker side, or ``None``. Asks the broker, with a bound."""
        if self._trouble:
            return self._trouble
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return await self._probe()
        except BROKER_TROUBLE as error:
            return f"{type(error).__name__}: {error}"

    async def _probe(self) -> str | None:
        """Every queue is there and has a consumer, ours is on an open channel, and groups get settled."""
        channel = await self._admin.get()
        own = {consumer.queue: consumer for consumer in self.consumers}
        for queue in (self.topology.events, self.topology.bulk):
            seen = await channel.queue_declare(queue, passive=True)
            metrics.QUEUE_DEPTH.labels(queue).set(seen.message_count or 0)
            if not seen.consumer_count:
                return f"nobody consumes {queue}"
            if queue in own and (trouble := self._stalled(own[queue], waiting=seen.message_count or 0)):
                return trouble
        for retry in self.topology.retries:
            waiting = (await channel.queue_declare(retry, passive=True)).message_count
            metrics.QUEUE_DEPTH.labels(retry).set(waiting or 0)
        dead = await channel.queue_declare(self.topology.dead, passive=True)
        metrics.UNROUTED.set((await channel.queue_declare(UNROUTED, passive=True)).message_count or 0)
        return None if dead.consumer_count else f"nobody consumes {self.topology.dead}"

    def _stalled(self, consumer: Consumer, *, waiting: int) -> str | None:
        if consumer.progress.trouble:
            return f"{consumer.queue} waits: {consumer.progress.trouble}"
        idle = asyncio.get_running_loop().time() - consumer.progress.last_settled
        if waiting and idle > _STALLED_SECONDS:
            return f"{consumer.queue} holds {waiting} messages and nothing was settled for {idle:.0f} s"
        return None


def _queue(name: str) -> RabbitQueue:
    return RabbitQueue(name, durable=True, queue_type=QueueType.QUORUM, declare=False)


async def _as_is(message: IncomingMessage) -> StreamMessage[IncomingMessage]:
    """Skip FastStream's parsing: it cannot fail, and the delivery itself is what we need."""
    return RabbitMessage(
        body=message.body,
        raw_message=message,
        content_type=message.content_type,
        headers=message.headers,
        message_id=message.message_id or "",
        correlation_id=message.correlation_id or "",
    )


async def _undecoded(message: StreamMessage[IncomingMessage]) -> IncomingMessage:
    return message.raw_message


async def _send_on(channel: AbstractChannel) -> None:
    """Publish up to a page of unrouted messages again as they are, and forget those the broker has safe."""
    found: list[DeliveredMessage] = []
    while len(found) < _REDRIVE_PAGE:
        message = await channel.basic_get(UNROUTED)
        if message.delivery_tag is None:
            break
        found.append(message)
    await asyncio.gather(
        *(
            channel.basic_publish(
                message.body,
                exchange=EXCHANGE,
                routing_key=message.routing_key or "",
                properties=message.header.properties,
                mandatory=True,
            )
            for message in found
        )
    )
    if found:
        await channel.basic_ack(found[-1].delivery_tag or 0, multiple=True)
