"""Readiness: red within five seconds when something it needs is away, green again after, and never fooled by a ping."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiormq
import pytest
from prometheus_client import REGISTRY

from local_stack.postgres import LocalPostgres
from local_stack.rabbitmq import LocalRabbit
from shared.service import Service
from shared.topology import UNROUTED
from support.sample_service import EXPLODE, effects, new_booking, record, running, sample_service
from support.waiting import eventually

RED_SECONDS = 5.0


@pytest.fixture
async def sample(make_database: Callable[[str], Awaitable[str]], amqp_url: str) -> AsyncIterator[Service]:
    async with running(sample_service(await make_database("sample"), amqp_url)) as service:
        yield service


async def red(service: Service, part: str) -> str:
    """Return what readiness says of a part as soon as it is not ok."""

    async def problem() -> str | None:
        return (await service.health.report())[part]

    return await eventually(problem, seconds=RED_SECONDS, what=f"{part} red") or ""


async def green(service: Service, *, seconds: float = 60) -> None:
    async def ready() -> bool:
        return not any((await service.health.report()).values())

    await eventually(ready, seconds=seconds, what="green again")


async def test_red_while_the_broker_is_stopped_and_green_after(sample: Service, rabbit: LocalRabbit) -> None:
    queues = [sample.topology.events, sample.topology.bulk, sample.topology.dead, UNROUTED, *sample.topology.retries]
    await asyncio.to_thread(rabbit.wait_until_kept, *queues)
    await asyncio.to_thread(rabbit.kill)
    await red(sample, "broker")
    await asyncio.to_thread(rabbit.start)
    await green(sample)


async def test_red_while_the_broker_hangs_and_green_after(sample: Service, rabbit: LocalRabbit) -> None:
    rabbit.suspend()
    try:
        await red(sample, "broker")
    finally:
        rabbit.resume()
    await green(sample)


async def test_red_while_the_database_is_stopped_and_green_after(sample: Service, postgres: LocalPostgres) -> None:
    await asyncio.to_thread(postgres.stop)
    await red(sample, "database")
    await asyncio.to_thread(postgres.start)
    await green(sample)


async def test_red_while_the_database_hangs_and_green_after(sample: Service, postgres: LocalPostgres) -> None:
    postgres.suspend()
    try:
        await red(sample, "database")
    finally:
        postgres.resume()
    await green(sample)


async def test_red_when_a_consumer_is_gone_although_the_connection_lives(sample: Service) -> None:
    for subscriber in sample.messaging.broker.subscribers:
        await subscriber.stop()

    assert "nobody consumes sample.events" in await red(sample, "broker")


async def test_a_deleted_queue_is_declared_again_and_consumed_again(sample: Service, amqp_url: str) -> None:
    connection = await aiormq.connect(amqp_url)
    await (await connection.channel()).queue_delete("sample.events")
    await connection.close()

    await green(sample)
    await record(sample, [new_booking("after")])

    async def applied() -> bool:
        return ("after", 1) in await effects(sample.engine)

    await eventually(applied, what="an event by the new queue")


async def test_what_waits_to_be_tried_again_is_measured(
    make_database: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    service = sample_service(await make_database("sample"), amqp_url, retry_delays="600")
    async with running(service) as sample:
        await record(sample, [new_booking("b-1", status=EXPLODE)])

        async def measured() -> bool:
            await sample.health.report()
            depth = REGISTRY.get_sample_value("queue_depth", {"queue": sample.topology.retries[0]})
            return depth == 1

        await eventually(measured, seconds=30, what="the retry queue measured")
