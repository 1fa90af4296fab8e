"""How fast one process takes events from the queue to a committed projection."""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from uuid import uuid4

import aio_pika
from sqlalchemy import text

from benchmarks.infrastructure import Infrastructure
from benchmarks.table import Row
from shared.events import BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE, EVENTS_HEADER, Event, encode_batch
from shared.publisher import Outgoing, RabbitPublisher
from shared.service import Service
from shared.topology import EXCHANGE, Topology, declare
from stats.main import create_service
from stats.settings import Settings
from support.events import booking, linked, registered

SINGLE = 15_000
BATCHED = 60_000
BATCH = 100


async def measure(infrastructure: Infrastructure) -> list[Row]:
    """Return stats' rates with one event per message and with batches, and the floor."""
    floor = await bare_consume(await infrastructure.amqp_url())
    single = await consumed(infrastructure, SINGLE, batch=1)
    batched = await consumed(infrastructure, BATCHED, batch=BATCH)
    return [
        Row("bare aio-pika consumer, acknowledge each, nothing else", floor, None, ""),
        Row("stats: one event per message, to committed totals", single, floor, "≥ 3,000"),
        Row(f"stats: batches of {BATCH}, to committed totals", batched, floor, "≥ 12,000"),
    ]


def history(count: int) -> list[Event]:
    """A third each of registrations, bookings and links, of a user in ten bookings."""
    events: list[Event] = []
    while len(events) < count:
        user = str(uuid4())
        events.append(registered(user))
        for _ in range(10):
            booking_id = str(uuid4())
            events += [booking(booking_id), linked(booking_id, user)]
    return events[:count]


async def bare_consume(url: str) -> float:
    """Take single messages of the same size and acknowledge each."""
    await publish(url, history(SINGLE), batch=1)
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=1000)
    queue = await channel.get_queue("stats.events")
    seen, done = 0, asyncio.Event()
    started = perf_counter()

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        nonlocal seen
        await message.ack()
        seen += 1
        if seen == SINGLE:
            done.set()

    await queue.consume(take)
    await done.wait()
    rate = SINGLE / (perf_counter() - started)
    await connection.close()
    return rate


async def consumed(infrastructure: Infrastructure, count: int, *, batch: int) -> float:
    """Fill the queue, start stats, and time until the journal holds every event."""
    url = await infrastructure.amqp_url()
    await publish(url, history(count), batch=batch)
    database_url = await infrastructure.databases.create("stats")
    service = create_service(Settings.model_validate({"database_url": database_url, "amqp_url": url}))
    started = perf_counter()
    async with service.running():
        while await journalled(service) < count:
            await asyncio.sleep(0.05)
    return count / (perf_counter() - started)


async def journalled(service: Service) -> int:
    async with service.engine.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM journal"))).scalar_one())


async def publish(url: str, events: Sequence[Event], *, batch: int) -> None:
    """Put the events into stats' queue, ``batch`` per message."""
    publisher = RabbitPublisher(url)
    await declare(await publisher._channel.get(), Topology("stats", ("booking.*", "payment.*", "user.*")))
    parcels = [_parcel(events[start : start + batch]) for start in range(0, len(events), batch)]
    for start in range(0, len(parcels), 500):
        assert not any(await publisher.publish(parcels[start : start + 500]))
    await publisher.close()


def _parcel(events: Sequence[Event]) -> Outgoing:
    first = events[0]
    if len(events) == 1:
        return Outgoing(first.encode(), first.type, EVENT_CONTENT_TYPE, str(first.id), exchange=EXCHANGE)
    body = encode_batch([event.encode().decode() for event in events])
    headers = {EVENTS_HEADER: len(events)}
    return Outgoing(body, first.type, BATCH_CONTENT_TYPE, str(first.id), exchange=EXCHANGE, headers=headers)
