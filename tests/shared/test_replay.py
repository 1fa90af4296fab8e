"""Replay reads the log completely while others write, and repeats without effect."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.channel import ReopeningChannel
from shared.event_log import append
from shared.publisher import RabbitPublisher
from shared.replay import FenceHeld, Selection, read, replay, reset_after_restore
from shared.service import Service
from support.sample_service import effects, new_booking, record, running, sample_service
from support.waiting import eventually


@pytest.fixture
async def sample(make_database: Callable[[str], Awaitable[str]], amqp_url: str) -> AsyncIterator[Service]:
    async with running(sample_service(await make_database("sample"), amqp_url)) as service:
        yield service


async def subjects(engine: AsyncEngine, *, patience: float = 10) -> list[str]:
    pages = read(engine, Selection(), patience=patience)
    return [json.loads(row["body"])["subject"] async for page in pages for row in page]


async def sent(service: Service, amqp_url: str, selection: Selection, *, to: str = "sample") -> int:
    publisher, probe = RabbitPublisher(amqp_url), ReopeningChannel(amqp_url)
    totals = [total async for total in replay(service.engine, publisher, probe, to=to, selection=selection)]
    await publisher.aclose()
    await probe.aclose()
    return totals[-1]


async def applied(service: Service, count: int) -> None:
    async def enough() -> bool:
        return len(await effects(service.engine)) == count

    await eventually(enough, what=f"{count} effects")


async def test_a_replay_into_an_emptied_consumer_gives_the_same_effects_and_repeats_without_more(
    sample: Service, amqp_url: str
) -> None:
    await record(sample, [new_booking(f"b{number}") for number in range(1200)])
    await applied(sample, 1200)
    before = sorted(await effects(sample.engine))
    async with sample.engine.begin() as connection:
        await connection.execute(text("TRUNCATE effect, inbox"))

    assert await sent(sample, amqp_url, Selection()) == 1200
    await applied(sample, 1200)
    assert sorted(await effects(sample.engine)) == before

    assert await sent(sample, amqp_url, Selection(subject="b7")) == 1
    await record(sample, [new_booking("last")])
    await applied(sample, 1201)


async def test_a_replay_to_nobody_says_so(sample: Service, amqp_url: str) -> None:
    await record(sample, [new_booking("b1")])

    with pytest.raises(LookupError, match=r"no queue 'typo\.bulk'"):
        await sent(sample, amqp_url, Selection(), to="typo")


async def test_an_earlier_number_committed_late_is_not_skipped(
    make_engine: Callable[[str], Awaitable[AsyncEngine]],
) -> None:
    engine = await make_engine("sample")
    async with engine.connect() as slow:
        await append(slow, "/sample", [new_booking("early")])
        async with engine.begin() as quick:
            await append(quick, "/sample", [new_booking("late")])

        with pytest.raises(FenceHeld, match="1 events wait for an older writing transaction: pid"):
            await subjects(engine, patience=0)
        await slow.commit()

    assert await subjects(engine) == ["early", "late"]


async def test_events_restored_from_another_server_are_readable_again(
    make_engine: Callable[[str], Awaitable[AsyncEngine]],
) -> None:
    engine = await make_engine("sample")
    async with engine.begin() as connection:
        await append(connection, "/sample", [new_booking("b1"), new_booking("b2")])
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE event_log SET xid = '999999999999'"))
    with pytest.raises(FenceHeld):
        await subjects(engine, patience=0)

    async with engine.begin() as connection:
        assert await reset_after_restore(connection) == 2
    assert await subjects(engine) == ["b1", "b2"]
