"""The private RabbitMQ node comes back from everything, keeps to loopback, and leaves nothing behind."""

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import psutil
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from aiormq.abc import FieldTable

from local_stack.errors import PartFailed, PortBusy
from local_stack.processes import ProcessRef, runs
from local_stack.rabbitmq import LocalRabbit

AT_LEAST_ONCE: FieldTable = {
    "x-queue-type": "quorum",
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "dead",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


@asynccontextmanager
async def _live_queue(url: str) -> AsyncIterator[tuple[AbstractChannel, AbstractQueue]]:
    """A quorum queue with at-least-once dead-lettering, which needs the feature flag `stream_queue`."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("dead", durable=True, arguments={"x-queue-type": "quorum"})
        yield channel, await channel.declare_queue("live", durable=True, arguments=AT_LEAST_ONCE)


async def _publish(url: str, *bodies: bytes) -> None:
    async with _live_queue(url) as (channel, _):
        for body in bodies:
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, "live")


async def _take(url: str) -> bytes:
    """Consume one message, waiting for it as long as a freshly started queue may need to elect its leader."""
    async with _live_queue(url) as (_, queue), queue.iterator(timeout=10) as messages:
        message = await anext(messages)
        await message.ack()
        return message.body


async def test_confirmed_messages_survive_kill_stop_and_a_lost_pid(rabbit: LocalRabbit) -> None:
    rabbit.start()
    await _publish(rabbit.url, b"1", b"2")
    rabbit.wait_until_kept("live", "dead")
    rabbit.kill()
    assert not rabbit.running()
    rabbit.start()
    assert await _take(rabbit.url) == b"1"
    pid = rabbit.pid()
    assert pid is not None
    ProcessRef.of(pid).signal(signal.SIGKILL)
    rabbit.start()
    assert await _take(rabbit.url) == b"2"


def test_it_listens_on_loopback_alone_and_stops_without_leaving_a_process(rabbit: LocalRabbit) -> None:
    rabbit.start()
    processes = [psutil.Process(pid) for pid in rabbit.pids()]
    assert {"beam.smp", "epmd"} <= {process.name() for process in processes}
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::1"}
    rabbit.suspend()
    assert not rabbit.ready()
    rabbit.stop()
    rabbit.stop()
    assert rabbit.pids() == []
    assert not any(runs(process) for process in processes)


def test_a_node_whose_notes_are_lost_is_found_and_stopped(rabbit: LocalRabbit) -> None:
    rabbit.start()
    processes = [psutil.Process(pid) for pid in rabbit.pids()]
    for note in rabbit.directory.glob("*.pid.json"):
        note.unlink()
    rabbit.stop()
    assert not any(runs(process) for process in processes)


def test_a_node_that_cannot_start_leaves_nothing_and_its_last_words(rabbit: LocalRabbit) -> None:
    data = rabbit.directory / "data"
    data.mkdir(parents=True)
    (data / f"bookings-{rabbit.port}@localhost").write_text("a file where a directory should be")
    with pytest.raises(PartFailed, match=r"RabbitMQ did not start. The end of .*startup.log:\n.+"):
        rabbit.start()
    assert rabbit.pids() == []


def test_a_busy_port_is_named_with_its_user_and_the_way_out(rabbit: LocalRabbit) -> None:
    with socket.create_server(("127.0.0.1", rabbit.port)), pytest.raises(PortBusy) as caught:
        rabbit.start()
    for part in (str(rabbit.port), "RabbitMQ", f"process {psutil.Process().pid}", "LOCAL_AMQP_PORT="):
        assert part in str(caught.value)
