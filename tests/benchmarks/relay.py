"""How fast one process relays an outbox, in order and with confirms, beside bare pipelined publishing."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

import aio_pika
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.infrastructure import Infrastructure
from benchmarks.table import Row
from shared.contracts import BookingContact, BookingSnapshot
from shared.database import create_engine
from shared.event_log import NewEvent, append
from shared.publisher import RabbitPublisher
from shared.relay import Relay
from shared.signal import Signal
from shared.topology import EXCHANGE, Topology, declare
from support.events import EPOCH, booking

EVENTS = 20_000
SUBJECTS = 2_000


async def measure(infrastructure: Infrastructure) -> list[Row]:
    """Return the relay's rates, one event per message and in batches, and the floor."""
    url = await infrastructure.amqp_url()
    publisher = RabbitPublisher(url)
    await declare(await publisher._channel.get(), Topology("sample", ("booking.*",)))
    engine = create_engine(await infrastructure.databases.create("sample"), name="benchmark")
    floor = await bare_aio_pika(url)
    single = await relayed(engine, publisher, batching=False)
    batched = await relayed(engine, publisher, batching=True)
    await publisher.close()
    await engine.dispose()
    return [
        Row("bare aio-pika, 500 in flight, nothing else", floor, None, ""),
        Row("relay, one event per message", single, floor, "≥ 7,000 and ≥ 60 % of the floor"),
        Row("relay, backlog in batches", batched, floor, ""),
    ]


async def bare_aio_pika(url: str) -> float:
    """Publish bodies of the same size with confirms, 500 in flight; nothing is read or deleted anywhere."""
    connection = await aio_pika.connect(url)
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    exchange = await channel.get_exchange(EXCHANGE)
    body = booking("b1").encode()
    started = perf_counter()
    for _ in range(0, EVENTS, 500):
        messages = [aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT) for _ in range(500)]
        await asyncio.gather(*(exchange.publish(message, "booking.created", mandatory=True) for message in messages))
    rate = EVENTS / (perf_counter() - started)
    await connection.close()
    return rate


async def relayed(engine: AsyncEngine, publisher: RabbitPublisher, *, batching: bool) -> float:
    """Fill the outbox, then send it all."""
    await fill(engine)
    relay = Relay(engine, publisher, Signal(), batching=batching)
    started = perf_counter()
    sent = await relay.drain()
    return sent / (perf_counter() - started)


async def fill(engine: AsyncEngine) -> None:
    """Put ``EVENTS`` events of ``SUBJECTS`` bookings into log and outbox."""
    async with engine.begin() as connection:
        start = (await connection.execute(text("SELECT coalesce(max(sequence), 0) FROM event_log"))).scalar_one()
        for first in range(0, EVENTS, 1000):
            await append(connection, "/sample", _events(first, start))


def _events(first: int, start: int) -> Sequence[NewEvent]:
    snapshot = BookingSnapshot(
        booking_id="b", contact=BookingContact(first_name="Ann", email="ann@example.com"), currency="GBP"
    )
    return [
        NewEvent("booking.updated", f"b{number % SUBJECTS}", start + number // SUBJECTS + 1, EPOCH, snapshot)
        for number in range(first, first + 1000)
    ]
