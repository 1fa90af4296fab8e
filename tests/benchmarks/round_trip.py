"""The floor of every latency here: one bare commit, one bare message to a quorum queue and back, nothing else."""

import asyncio
from time import perf_counter

import aio_pika
import asyncpg

_HOPS = 300
_WARM_UP = 20


async def bare_hops(database_url: str, amqp_url: str, *, rate: float) -> list[float]:
    """Return the seconds of single hops, one begun every ``1 / rate`` seconds: INSERT, publish, confirm, consume."""
    database = await asyncpg.connect(database_url)
    await database.execute("CREATE TABLE hop (number integer)")
    broker = await aio_pika.connect(amqp_url)
    channel = await broker.channel(publisher_confirms=True)
    queue = await channel.declare_queue("sample.events", durable=True, arguments={"x-queue-type": "quorum"})
    arrived: asyncio.Queue[float] = asyncio.Queue()

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        arrived.put_nowait(perf_counter())
        await message.ack()

    tag = await queue.consume(take)
    hops: list[float] = []
    for number in range(_HOPS):
        started = perf_counter()
        await database.execute("INSERT INTO hop VALUES ($1)", number)
        message = aio_pika.Message(b"x" * 700, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, queue.name)
        hops.append(await arrived.get() - started)
        await asyncio.sleep(max(0.0, started + 1 / rate - perf_counter()))
    await queue.cancel(tag)
    await queue.delete(if_empty=False, if_unused=False)
    await broker.close()
    await database.close()
    return hops[_WARM_UP:]
