"""How fast one process relays an outbox, in order and with confirms, beside bare publishing and a peer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import aio_pika
from aiormq.abc import AbstractChannel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks import outbox_peer
from benchmarks.infrastructure import Infrastructure
from benchmarks.sample import Sample, timed, typical
from benchmarks.table import Result, Row, Target
from shared.contracts import BookingContact, BookingSnapshot
from shared.database import create_engine
from shared.event_log import NewEvent, append
from shared.publisher import RabbitPublisher
from shared.relay import Relay
from shared.signal import Signal
from shared.topology import EXCHANGE, Topology, declare
from support.events import EPOCH

ROUNDS = 3
EVENTS = 10_000
SUBJECTS = 2_000
IN_FLIGHT = 500
PEERS = {1: 1_000, 8: 4_000, 50: 8_000}  # its workers, and how many events it relays with them

_PUBLISHING = "outbox_publish_seconds"


@dataclass(frozen=True)
class Bench:
    """What every round uses. The queue is emptied before each sample, so that none is measured behind a full one."""

    infrastructure: Infrastructure
    url: str
    engine: AsyncEngine
    publisher: RabbitPublisher
    body: bytes

    async def channel(self) -> AbstractChannel:
        channel = await self.publisher._channel.get()
        await channel.queue_purge("sample.events")
        return channel


async def measure(infrastructure: Infrastructure) -> Result:
    """Return the relay's rates, one event per message and in batches, the floor, and the peer's."""
    url = await infrastructure.amqp_url()
    publisher = RabbitPublisher(url)
    await declare(await publisher._channel.get(), Topology("sample", ("booking.*",)))
    engine = create_engine(await infrastructure.databases.create("sample"), name="benchmark")
    bench = Bench(infrastructure, url, engine, publisher, await one_body(engine))
    rounds = [await one_round(bench) for _ in range(ROUNDS)]
    await publisher.aclose()
    await engine.dispose()
    return report({name: typical([samples[name] for samples in rounds]) for name in rounds[0]}, size=len(bench.body))


async def one_round(bench: Bench) -> dict[str, Sample]:
    """One sample of each, right after each other."""
    samples = {"bare": await bare_aio_pika(bench)}
    samples["single"] = await relayed(bench, batching=False)
    samples["batched"] = await relayed(bench, batching=True)
    for workers, count in PEERS.items():
        samples[f"peer {workers}"] = await peer_relayed(bench, workers=workers, count=count)
    return samples


def report(samples: dict[str, Sample], *, size: int) -> Result:
    """Put rates beside the floor, and say where the relay's time goes."""
    bare, single, batched = samples["bare"], samples["single"], samples["batched"]
    goal = Target(at_least=7_000, of_floor=0.6)
    rows = [
        Row(f"bare aio-pika, {IN_FLIGHT} in flight, nothing else", bare.rate, cpu=bare.cpu),
        Row("relay, one event per message, in order", single.rate, bare.rate, goal, cpu=single.cpu),
        Row("relay, backlog in batches of 100, in order", batched.rate, bare.rate, cpu=batched.cpu),
    ]
    for workers in PEERS:
        peer = samples[f"peer {workers}"]
        order = "in order" if workers == 1 else "no order"
        rows.append(Row(f"faststream-outbox, {workers} worker(s), {order}", peer.rate, bare.rate, cpu=peer.cpu))
    publishing = single.share(_PUBLISHING)
    return Result(
        rows,
        [
            f"Relay, one event per message: {publishing:.0%} of the time from publish to last confirm, "
            f"{1 - publishing:.0%} reading pages, deleting confirmed rows, packing. "
            f"Processor of this process busy {single.cpu_seconds / single.seconds:.0%}.",
            f"Median of {ROUNDS} rounds that take turns; {EVENTS:,} events each, the peer "
            f"{', '.join(f'{count:,}' for count in PEERS.values())}; bodies of {size} bytes.",
        ],
    )


async def bare_aio_pika(bench: Bench) -> Sample:
    """Publish bodies of the same size with confirms, 500 in flight; nothing is read or deleted anywhere."""
    await bench.channel()
    connection = await aio_pika.connect(bench.url)
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    exchange = await channel.get_exchange(EXCHANGE)

    async def publish() -> int:
        for _ in range(0, EVENTS, IN_FLIGHT):
            messages = [
                aio_pika.Message(bench.body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT) for _ in range(IN_FLIGHT)
            ]
            await asyncio.gather(
                *(exchange.publish(message, "booking.updated", mandatory=True) for message in messages)
            )
        return EVENTS

    sample = await timed(publish())
    await connection.close()
    return sample


async def relayed(bench: Bench, *, batching: bool) -> Sample:
    """Fill the outbox, then send it all."""
    await fill(bench.engine)
    await bench.channel()
    relay = Relay(bench.engine, bench.publisher, Signal(), batching=batching)
    return await timed(relay.drain(), _PUBLISHING)


async def peer_relayed(bench: Bench, *, workers: int, count: int) -> Sample:
    """Fill the peer's table, then have it send it all."""
    database_url = await bench.infrastructure.databases.create()
    async with (
        outbox_peer.peer_table(database_url, workers) as (engine, table),
        outbox_peer.peer(engine, table, bench.url, workers=workers) as outbox,
    ):
        await outbox_peer.fill(outbox, engine, bench.body, count)
        await bench.channel()
        return await timed(outbox_peer.drain(outbox, engine, count))


async def one_body(engine: AsyncEngine) -> bytes:
    """Return what an event of this benchmark looks like on the wire."""
    async with engine.connect() as connection:
        await append(connection, "/sample", _events(0, 0)[:1])
        body = await connection.execute(text("SELECT CAST(body AS text) FROM event_log"))
        return str(body.scalar_one()).encode()


async def fill(engine: AsyncEngine) -> None:
    """Put ``EVENTS`` events of ``SUBJECTS`` bookings into log and outbox."""
    async with engine.begin() as connection:
        start = (await connection.execute(text("SELECT coalesce(max(sequence), 0) FROM event_log"))).scalar_one()
        for first in range(0, EVENTS, 1000):
            await append(connection, "/sample", _events(first, start))


def _events(first: int, start: int) -> Sequence[NewEvent]:
    snapshot = BookingSnapshot(
        booking_id="b",
        booking_reference="REF-b",
        status="PENDING",
        contact=BookingContact(first_name="Ann", last_name="Lee", email="ann@example.com"),
        final_amount=Decimal("67.50"),
        currency="GBP",
        created_at=EPOCH,
    )
    return [
        NewEvent("booking.updated", f"b{number % SUBJECTS}", start + number // SUBJECTS + 1, EPOCH, snapshot)
        for number in range(first, first + 1000)
    ]
