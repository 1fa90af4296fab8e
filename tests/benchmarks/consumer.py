"""How fast one process takes events from the queue to a committed projection."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from uuid import uuid4

import aio_pika
from sqlalchemy import text

from benchmarks.infrastructure import Infrastructure
from benchmarks.sample import Sample, timed, typical
from benchmarks.table import Result, Row, Target
from shared.events import BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE, EVENTS_HEADER, Event, encode_batch
from shared.ids import new_id
from shared.publisher import Outgoing, RabbitPublisher
from shared.service import Service
from shared.topology import EXCHANGE, Topology, declare
from stats.main import BINDINGS, create_service
from stats.settings import Settings
from support.events import booking, linked, registered
from support.waiting import eventually

ROUNDS = 3
SINGLE = 12_000
BATCHED = 40_000
BATCH = 100

_PATIENCE_SECONDS = 120
_GROUPS = "consumer_group_seconds"
_SIZES = "consumer_group_events"


async def measure(infrastructure: Infrastructure) -> Result:
    """Return stats' rates with one event per message and with batches, and the floor."""
    rounds = [await one_round(infrastructure) for _ in range(ROUNDS)]
    return report({name: typical([samples[name] for samples in rounds]) for name in rounds[0]})


async def one_round(infrastructure: Infrastructure) -> dict[str, Sample]:
    """One sample of each, right after each other."""
    return {
        "bare": await bare_consume(await infrastructure.amqp_url()),
        "single": await consumed(infrastructure, SINGLE, batch=1),
        "batched": await consumed(infrastructure, BATCHED, batch=BATCH),
    }


def report(samples: dict[str, Sample]) -> Result:
    """Put rates beside the floor, and say where the consumer's time goes."""
    bare, single, batched = samples["bare"], samples["single"], samples["batched"]
    return Result(
        [
            Row("bare aio-pika consumer, acknowledge each, nothing else", bare.rate, cpu=bare.cpu),
            Row("stats, one event per message", single.rate, bare.rate, Target(at_least=3_000), cpu=single.cpu),
            Row(f"stats, batches of {BATCH}", batched.rate, bare.rate, Target(at_least=12_000), cpu=batched.cpu),
        ],
        [
            f"stats, one event per message: {_breakdown(single)}",
            f"stats, batches of {BATCH}: {_breakdown(batched)}",
            "Until every event is journalled and projected and its totals are in the event log; their relay runs in "
            f"the same process. Median of {ROUNDS} rounds that take turns.",
        ],
    )


def _breakdown(sample: Sample) -> str:
    return (
        f"{sample.share(_GROUPS):.0%} of the time in group transactions, {sample.mean(_SIZES):,.0f} events and "
        f"{sample.mean(_GROUPS) * 1000:,.0f} ms each; the rest start, decoding, waiting for deliveries. "
        f"Processor of this process busy {sample.cpu_seconds / sample.seconds:.0%}."
    )


def history(count: int) -> list[Event]:
    """A registration, ten bookings and their links per user; ids as services give them (uuid7, which indexes like)."""
    events: list[Event] = []
    while len(events) < count:
        user = str(uuid4())
        events.append(registered(user))
        for _ in range(10):
            booking_id = str(uuid4())
            events += [booking(booking_id), linked(booking_id, user)]
    return [event.model_copy(update={"id": new_id()}) for event in events[:count]]


async def bare_consume(url: str) -> Sample:
    """Take single messages of the same size and acknowledge each."""
    await publish(url, history(SINGLE), batch=1)
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=1000)
    queue = await channel.get_queue("stats.events")
    seen, done = 0, asyncio.Event()

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        nonlocal seen
        await message.ack()
        seen += 1
        if seen == SINGLE:
            done.set()

    async def all_taken() -> int:
        await queue.consume(take)
        await done.wait()
        return SINGLE

    sample = await timed(all_taken())
    await connection.close()
    return sample


async def consumed(infrastructure: Infrastructure, count: int, *, batch: int) -> Sample:
    """Fill the queue, start stats, and time until the journal holds every event."""
    url = await infrastructure.amqp_url()
    await publish(url, history(count), batch=batch)
    database_url = await infrastructure.databases.create("stats")
    service = create_service(Settings.model_validate({"database_url": database_url, "amqp_url": url}))

    async with AsyncExitStack() as running:

        async def all_journalled() -> int:
            await running.enter_async_context(service.running())
            await eventually(lambda: journalled(service, count), seconds=_PATIENCE_SECONDS, what="all journalled")
            return count

        return await timed(all_journalled(), _GROUPS, _SIZES)


async def journalled(service: Service, count: int) -> bool:
    """Whether so many events are in the journal: its numbers have no gap here, and the newest costs nothing to read."""
    async with service.engine.connect() as connection:
        newest = await connection.execute(text("SELECT seq FROM journal ORDER BY xid DESC, seq DESC LIMIT 1"))
        return (newest.scalar_one_or_none() or 0) >= count


async def publish(url: str, events: Sequence[Event], *, batch: int) -> None:
    """Put the events into stats' queue, ``batch`` per message; the gateway's queue is there to take the totals."""
    publisher = RabbitPublisher(url)
    for topology in (Topology("stats", BINDINGS), Topology("bookings-gateway", ("user_totals.*",))):
        await declare(await publisher._channel.get(), topology)
    parcels = [_parcel(events[start : start + batch]) for start in range(0, len(events), batch)]
    for start in range(0, len(parcels), 500):
        assert not any(await publisher.publish(parcels[start : start + 500]))
    await publisher.aclose()


def _parcel(events: Sequence[Event]) -> Outgoing:
    first = events[0]
    if len(events) == 1:
        return Outgoing(first.encode(), first.type, EVENT_CONTENT_TYPE, str(first.id), exchange=EXCHANGE)
    body = encode_batch([event.encode().decode() for event in events])
    headers = {EVENTS_HEADER: len(events)}
    return Outgoing(body, first.type, BATCH_CONTENT_TYPE, str(first.id), exchange=EXCHANGE, headers=headers)
