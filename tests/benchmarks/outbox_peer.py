"""``faststream-outbox`` relaying the same events from the same PostgreSQL to the same queue.

Set up as its documentation asks for throughput: rows written by its own ``publish_batch``, bodies passed on as bytes
without decoding or casting, no log line per row, ``terminal_flush_batch_size`` of 100 (its "Performance" page), a fetch
of 500 rows, its recommended autovacuum settings, a publisher that is persistent, mandatory, confirmed. Its workers take
single rows side by side, so more than one of them gives up the order of a subject's events, and one alone waits for
each confirm before the next row.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange
from faststream_outbox import OutboxBroker, make_outbox_table, outbox_autovacuum_ddl
from sqlalchemy import MetaData, Table, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.database import async_url
from shared.topology import EXCHANGE
from support.waiting import eventually

_QUEUE = "events"
_FETCH = 500
_FLUSH = 100
_RAW = {"content-type": "application/octet-stream"}
_DRAIN_SECONDS = 120.0


@asynccontextmanager
async def peer_table(database_url: str, workers: int) -> AsyncIterator[tuple[AsyncEngine, Table]]:
    """Its table in a database of its own, and an engine with a connection per worker, one to fetch, one to look."""
    metadata = MetaData()
    table = make_outbox_table(metadata)
    engine = create_async_engine(async_url(database_url), pool_size=workers + 2, max_overflow=0)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(text(outbox_autovacuum_ddl()))
    try:
        yield engine, table
    finally:
        await engine.dispose()


@asynccontextmanager
async def peer(engine: AsyncEngine, table: Table, amqp_url: str, *, workers: int) -> AsyncIterator[OutboxBroker]:
    """Both brokers, not yet relaying: ``start`` the yielded one."""
    rabbit = RabbitBroker(
        amqp_url, default_channel=Channel(publisher_confirms=True, on_return_raises=True), logger=None
    )
    outbox = OutboxBroker(engine, outbox_table=table, logger=None, apply_types=False)
    publisher = rabbit.publisher(
        exchange=RabbitExchange(EXCHANGE, type=ExchangeType.TOPIC, durable=True, declare=False),
        routing_key="booking.updated",
        persist=True,
        mandatory=True,
    )

    @publisher
    @outbox.subscriber(
        _QUEUE,
        max_workers=workers,
        fetch_batch_size=_FETCH,
        min_fetch_interval=0.01,
        max_fetch_interval=0.1,
        terminal_flush_batch_size=_FLUSH,
    )
    async def relay(body: bytes) -> bytes:
        return body

    await rabbit.start()
    try:
        yield outbox
    finally:
        await outbox.stop()
        await rabbit.stop()


async def fill(outbox: OutboxBroker, engine: AsyncEngine, body: bytes, count: int) -> None:
    """Put ``count`` rows in with its own producer."""
    async with engine.begin() as connection:
        for _ in range(0, count, _FETCH):
            await outbox.publish_batch(*[body] * _FETCH, queue=_QUEUE, session=connection, headers=_RAW)


async def drain(outbox: OutboxBroker, engine: AsyncEngine, count: int) -> int:
    """Relay until its table is empty; bounded."""
    await outbox.start()
    async with engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")

        async def empty() -> bool:
            return bool((await connection.execute(text("SELECT NOT EXISTS (SELECT FROM outbox)"))).scalar_one())

        await eventually(empty, seconds=_DRAIN_SECONDS, what="the peer's table empty")
    return count
