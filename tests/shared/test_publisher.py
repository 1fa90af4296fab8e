"""One behaviour suite for the broker's publisher and the in-memory one."""

from collections.abc import AsyncIterator

import aiormq
import pytest

from shared.channel import ReopeningChannel
from shared.events import EVENT_CONTENT_TYPE
from shared.publisher import NotPublished, Outgoing, Publisher, RabbitPublisher
from shared.testing.publisher import InMemoryPublisher
from shared.topology import EXCHANGE, Topology, declare

SAMPLE = Topology("sample", ("booking.*",))


def message(key: str, *, exchange: str = EXCHANGE, message_id: str = "1") -> Outgoing:
    return Outgoing(b"{}", key, EVENT_CONTENT_TYPE, message_id, exchange=exchange)


@pytest.fixture(params=["rabbitmq", "in memory"])
async def publisher(request: pytest.FixtureRequest, amqp_url: str) -> AsyncIterator[Publisher]:
    if request.param == "in memory":
        yield InMemoryPublisher(bindings=["booking.*", "sample.events"])
        return
    channel = ReopeningChannel(amqp_url)
    await declare(await channel.get(), SAMPLE)
    await channel.aclose()
    publisher = RabbitPublisher(amqp_url)
    yield publisher
    await publisher.aclose()


async def test_each_message_is_answered_for(publisher: Publisher) -> None:
    assert await publisher.publish([message("booking.created", message_id=str(n)) for n in range(3)]) == [None] * 3


async def test_a_message_no_queue_takes_is_reported_and_its_neighbours_are_sent(publisher: Publisher) -> None:
    outcomes = await publisher.publish(
        [
            message("booking.created", message_id="1"),
            message("no.such.queue", exchange="", message_id="2"),
            message("sample.events", exchange="", message_id="3"),
        ]
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), NotPublished, type(None)]


async def test_publishing_after_close_opens_again(publisher: Publisher) -> None:
    await publisher.aclose()

    assert await publisher.publish([message("booking.created")]) == [None]


async def test_nothing_to_publish_is_no_error(publisher: Publisher) -> None:
    assert await publisher.publish([]) == []


async def test_an_absent_broker_is_a_connection_error() -> None:
    with pytest.raises(ConnectionError, match="cannot be reached"):
        await RabbitPublisher("amqp://127.0.0.1:9/").publish([message("booking.created")])


async def test_declaring_twice_changes_nothing_and_mends_a_deleted_binding(amqp_url: str) -> None:
    holder = ReopeningChannel(amqp_url)
    channel = await holder.get()
    await declare(channel, SAMPLE)
    for pattern in ("booking.*", "booking.*.#"):
        await channel.queue_unbind("sample.events", EXCHANGE, routing_key=pattern)

    await declare(channel, SAMPLE)

    publisher = RabbitPublisher(amqp_url)
    assert await publisher.publish([message("booking.created")]) == [None]
    assert (await channel.queue_declare("sample.events", passive=True)).message_count == 1
    await publisher.aclose()
    await holder.aclose()


async def test_a_queue_of_another_shape_is_refused_with_the_way_out(amqp_url: str) -> None:
    connection = await aiormq.connect(amqp_url)
    await (await connection.channel()).queue_declare("sample.dead", durable=True)
    holder = ReopeningChannel(amqp_url)

    with pytest.raises(Exception, match="Drain and delete the old one"):
        await declare(await holder.get(), SAMPLE)
    await holder.aclose()
    await connection.close()
