"""Parts die in the middle of traffic. Nothing is lost, nothing counts twice, everything resumes by itself."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from time import monotonic

import aiormq
import pytest

from local_stack.postgres import LocalPostgres
from local_stack.rabbitmq import LocalRabbit
from shared.topology import EXCHANGE
from support.databases import Databases
from support.load import Load, flowing, load
from support.oracle import drained, money_received, projected_totals, totals_by_customers_sql
from support.system import SERVICES, System, system

# Alone (`make test-long`) everything resumes within 15 s; beside another test process on two cores it takes longer.
RESUME_SECONDS = float(os.environ.get("RESUME_SECONDS", "60"))


@pytest.fixture(scope="module")
async def whole(
    databases: Databases, rabbit: LocalRabbit, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    async with system(databases, rabbit.url, tmp_path_factory.mktemp("logs")) as running:
        yield running


async def assert_whole_again(whole: System, running: Load, *, returned: float) -> None:
    """Everything drained within the bound; every id applied once; totals are the customer's own; money is exact."""
    await whole.wait_ready()
    verdict = await drained(whole, seconds=max(1.0, returned + RESUME_SECONDS - monotonic()))

    assert verdict.clean
    assert await projected_totals(whole) == await totals_by_customers_sql(whole)
    kept = {row["id"] for row in await whole.query("bookings-gateway", "SELECT id::text FROM bookings")}
    assert set(running.bookings) <= kept
    paid = await whole.query("payments", "SELECT stripe_payment_intent_id AS id, received FROM payment")
    assert running.intents <= {row["id"] for row in paid}
    assert (await money_received(whole))["paid"] == sum(row["received"] for row in paid) == 1000 * len(paid)
    for service in SERVICES:
        schema = "gateway." if service == "bookings-gateway" else ""
        assert await whole.query(service, f"SELECT reason FROM {schema}dead_letter") == []  # noqa: S608


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_killed_under_load_loses_and_doubles_nothing(whole: System, service: str) -> None:
    async with load(whole) as running:
        await flowing(running, 30)
        whole.services[service].signal(signal.SIGKILL)
        if service != "bookings-gateway":
            await flowing(running, 20)
        whole.services[service].start()
        returned = monotonic()
        await flowing(running, 20)

    await assert_whole_again(whole, running, returned=max(returned, monotonic()))


async def test_the_broker_killed_under_load_loses_and_doubles_nothing(whole: System, rabbit: LocalRabbit) -> None:
    async with load(whole) as running:
        await flowing(running, 30)
        await asyncio.to_thread(rabbit.kill)
        await flowing(running, 20)
        await asyncio.to_thread(rabbit.start)
        returned = monotonic()
        await flowing(running, 20)

    await assert_whole_again(whole, running, returned=returned)


async def test_the_database_restarted_hard_under_load_loses_and_doubles_nothing(
    whole: System, postgres: LocalPostgres
) -> None:
    async with load(whole) as running:
        await flowing(running, 30)
        await asyncio.to_thread(postgres.restart, immediate=True)
        returned = monotonic()
        await flowing(running, 20)

    await assert_whole_again(whole, running, returned=returned)


@pytest.mark.parametrize(
    ("queue", "patterns"),
    [
        # Others take these too, so the broker sees nothing wrong: the twin binding must hold until it is mended.
        ("stats.events", ["booking.*"]),
        # Nobody else takes these: they wait in domain.events.unrouted until they are sent on.
        ("bookings-gateway.events", ["user_totals.changed", "user_totals.changed.#"]),
    ],
)
async def test_a_binding_deleted_under_load_loses_nothing(whole: System, queue: str, patterns: list[str]) -> None:
    connection = await aiormq.connect(whole.amqp_url)
    channel = await connection.channel()
    async with load(whole) as running:
        await flowing(running, 20)
        for pattern in patterns:
            await channel.queue_unbind(queue, EXCHANGE, routing_key=pattern)
        await flowing(running, 40)
    await connection.close()

    await assert_whole_again(whole, running, returned=monotonic())
