"""The relay's guarantees: nothing forgotten before its confirm, order per subject, fair shares."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.event_log import append
from shared.events import BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE, Event, decode
from shared.partitions import Partitions
from shared.publisher import Outgoing
from shared.relay import Relay
from shared.signal import Signal
from shared.tables import PARTITIONS
from shared.testing.publisher import InMemoryPublisher
from support.sample_service import new_booking
from support.waiting import eventually


@pytest.fixture
async def engine(make_engine: Callable[[str], Awaitable[AsyncEngine]]) -> AsyncEngine:
    return await make_engine("sample")


async def record(engine: AsyncEngine, *events: tuple[str, int]) -> list[str]:
    async with engine.begin() as connection:
        recorded = await append(connection, "/sample", [new_booking(*event) for event in events])
    return [str(event.id) for event in recorded]


async def unsent(engine: AsyncEngine) -> list[tuple[str, int]]:
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT l.subject, l.sequence FROM outbox JOIN event_log l USING (seq) ORDER BY seq")
        )
        return [(row.subject, row.sequence) for row in rows]


def keys(messages: list[Outgoing]) -> list[str]:
    return [message.message_id for message in messages]


async def test_a_refused_event_holds_back_its_subject_and_nobody_else(engine: AsyncEngine) -> None:
    first, second, other = await record(engine, ("a", 1), ("a", 2), ("b", 1))
    publisher = InMemoryPublisher(refused={first})

    await Relay(engine, publisher, Signal()).drain()

    assert keys(publisher.sent) == [second, other]
    assert await unsent(engine) == [("a", 1), ("a", 2)]


async def test_a_burst_travels_in_batches_and_what_comes_alone_does_not(engine: AsyncEngine) -> None:
    publisher = InMemoryPublisher()
    relay = Relay(engine, publisher, Signal())

    await record(engine, *((f"a{number}", 1) for number in range(5)))
    await relay.drain()
    assert [message.content_type for message in publisher.sent] == [EVENT_CONTENT_TYPE] * 5

    publisher.sent.clear()
    burst = await record(engine, *((f"b{number}", 1) for number in range(120)))
    await relay.drain()
    assert [message.content_type for message in publisher.sent] == [BATCH_CONTENT_TYPE] * 2
    told = [event for message in publisher.sent for event in decode(message.body, message.content_type)]
    assert [str(event.id) for event in told if isinstance(event, Event)] == burst


async def test_a_held_back_subject_is_sent_again_in_order(engine: AsyncEngine) -> None:
    first, second = await record(engine, ("a", 1), ("a", 2))
    publisher = InMemoryPublisher(refused={first})
    relay = Relay(engine, publisher, Signal())
    await relay.drain()
    publisher.refused.clear()
    publisher.sent.clear()

    async def all_sent() -> bool:
        await relay.drain()
        return not await unsent(engine)

    await eventually(all_sent, what="the held subject's turn")
    assert keys(publisher.sent) == [first, second]


async def test_what_was_confirmed_but_not_deleted_is_sent_again_under_the_same_id(engine: AsyncEngine) -> None:
    (id_,) = await record(engine, ("a", 1))
    publisher = InMemoryPublisher()
    async with engine.begin() as connection:
        await connection.execute(text("CREATE RULE crash AS ON DELETE TO outbox DO INSTEAD NOTHING"))
    relay = asyncio.create_task(Relay(engine, publisher, Signal()).run())
    await eventually(lambda: _at_least(publisher, 1), what="the first sending")
    relay.cancel()
    await asyncio.wait([relay])
    async with engine.begin() as connection:
        await connection.execute(text("DROP RULE crash ON outbox"))

    await Relay(engine, publisher, Signal()).drain()

    assert set(keys(publisher.sent)) == {id_}
    assert await unsent(engine) == []


async def _at_least(publisher: InMemoryPublisher, count: int) -> bool:
    return len(publisher.sent) >= count


async def test_an_absent_broker_loses_nothing_and_sending_resumes_by_itself(engine: AsyncEngine) -> None:
    await record(engine, ("a", 1))
    publisher = InMemoryPublisher(away=True)
    signal = Signal()
    relay = asyncio.create_task(Relay(engine, publisher, signal).run())
    await record(engine, ("a", 2))
    signal.set()
    publisher.away = False

    async def sent() -> bool:
        return not await unsent(engine)

    await eventually(sent, what="the outbox to empty")
    relay.cancel()
    await asyncio.wait([relay])
    assert len(publisher.sent) == 2


async def test_two_replicas_share_the_parts_and_a_dead_one_s_share_is_taken_over(engine: AsyncEngine) -> None:
    async with engine.connect() as first_connection, engine.connect() as second_connection:
        first, second = Partitions(first_connection), Partitions(second_connection)
        assert len(await first.share(every=0)) == PARTITIONS
        assert len(await second.share(every=0)) == 0

        assert len(await first.share(every=0)) == PARTITIONS / 2
        assert len(await second.share(every=0)) == PARTITIONS / 2
        assert not set(await first.share(every=0)) & set(await second.share(every=0))

        await first_connection.invalidate()

        async def all_taken() -> bool:
            return len(await second.share(every=0)) == PARTITIONS

        await eventually(all_taken, what="the dead replica's share")
        await second_connection.invalidate()


async def test_rolled_back_events_are_never_sent(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await append(connection, "/sample", [new_booking("a")])
        await connection.rollback()
    publisher = InMemoryPublisher()

    assert await Relay(engine, publisher, Signal()).drain() == 0
    assert publisher.sent == []
