"""From the outbox through the broker to a committed effect, with the real parts."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import psutil
import pytest
from sqlalchemy import text

from shared.events import BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE
from shared.publisher import Outgoing
from shared.service import Service
from shared.topology import EXCHANGE
from support.events import booking
from support.sample_service import EXPLODE, effects, new_booking, record, running, sample_service
from support.waiting import eventually


@pytest.fixture
async def sample(make_database: Callable[[str], Awaitable[str]], amqp_url: str) -> AsyncIterator[Service]:
    async with running(sample_service(await make_database("sample"), amqp_url)) as service:
        yield service


async def applied(service: Service, count: int) -> list[tuple[str, int]]:
    async def enough() -> list[tuple[str, int]] | None:
        found = await effects(service.engine)
        return found if len(found) >= count else None

    return await eventually(enough, what=f"{count} effects") or []


async def dead_letters(service: Service, count: int) -> list[str]:
    async def enough() -> list[str]:
        found = await service.dead_letters.find()
        return [row["reason"] for row in found] if len(found) >= count else []

    return await eventually(enough, what=f"{count} dead letters")


async def outbox_rows(service: Service) -> int:
    async with service.engine.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM outbox"))).scalar_one())


async def send(
    service: Service, body: bytes, *, content_type: str = EVENT_CONTENT_TYPE, key: str = "booking.x"
) -> None:
    message = Outgoing(body, key, content_type, message_id="test", exchange=EXCHANGE)
    assert await service.publisher.publish([message]) == [None]


async def test_a_recorded_event_is_applied_once_and_leaves_the_outbox_empty(sample: Service) -> None:
    await record(sample, [new_booking("b1"), new_booking("b2"), new_booking("b1", 2)])

    assert sorted(await applied(sample, 3)) == [("b1", 1), ("b1", 2), ("b2", 1)]
    assert await outbox_rows(sample) == 0


async def test_a_backlog_travels_in_batches_and_keeps_each_subject_in_order(sample: Service) -> None:
    events = [new_booking(f"b{number % 40}", number // 40 + 1) for number in range(2400)]
    await record(sample, events)

    found = await applied(sample, 2400)
    assert len(found) == 2400
    for subject in {subject for subject, _ in found}:
        sequences = [sequence for name, sequence in found if name == subject]
        assert sequences == sorted(sequences)


async def test_bulk_events_come_by_the_bulk_queue(sample: Service) -> None:
    await record(sample, [new_booking("b1")], bulk=True)

    await applied(sample, 1)
    async with sample.engine.connect() as connection:
        assert (await connection.execute(text("SELECT bulk FROM effect"))).scalar_one() is True


async def test_a_duplicate_delivery_has_no_second_effect(sample: Service) -> None:
    event = booking("b1")
    for _ in range(3):
        await send(sample, event.encode())
    await send(sample, booking("b2").encode())

    assert await applied(sample, 2) == [("b1", 1), ("b2", 1)]


async def test_bad_json_goes_to_the_dead_letters_with_its_reason_and_neighbours_commit(sample: Service) -> None:
    await send(sample, b"{not json")
    await send(sample, booking("b1").encode())

    assert await applied(sample, 1) == [("b1", 1)]
    assert "Invalid JSON" in (await dead_letters(sample, 1))[0]


async def test_one_bad_element_of_a_batch_is_set_aside_alone(sample: Service) -> None:
    good = [json.loads(booking(f"b{number}").encode()) for number in range(3)]
    body = json.dumps([good[0], {"specversion": "1.0"}, good[1], "nonsense", good[2]]).encode()
    await send(sample, body, content_type=BATCH_CONTENT_TYPE)

    assert [subject for subject, _ in await applied(sample, 3)] == ["b0", "b1", "b2"]
    assert len(await dead_letters(sample, 2)) == 2


async def test_an_unknown_type_is_acknowledged_and_leaves_nothing_behind(sample: Service) -> None:
    event = booking("b1").model_copy(update={"type": "booking.exotic"})
    await send(sample, event.encode())
    await send(sample, booking("b2").encode())

    assert await applied(sample, 1) == [("b2", 1)]
    assert await sample.dead_letters.find() == []


async def test_a_broken_contract_goes_straight_to_the_dead_letters(sample: Service) -> None:
    event = booking("b1").model_copy(update={"data": {"booking_id": 7}})
    await send(sample, event.encode())

    assert (await dead_letters(sample, 1))[0].startswith("BrokenContract: booking.created v1")
    assert (await sample.dead_letters.find())[0]["attempts"] == 1


async def test_an_event_its_handler_fails_on_is_retried_with_delays_then_set_aside_alone(sample: Service) -> None:
    batch = [new_booking(f"b{number}", status=EXPLODE if number == 7 else "PENDING") for number in range(20)]
    await record(sample, batch)

    assert sorted(subject for subject, _ in await applied(sample, 19)) == sorted(
        f"b{number}" for number in range(20) if number != 7
    )
    assert await dead_letters(sample, 1) == ["RuntimeError: this booking explodes"]
    (dead,) = await sample.dead_letters.find()
    assert (dead["subject"], dead["attempts"]) == ("b7", 3)
    assert dead["last_failed_at"] > dead["first_failed_at"]


async def test_dead_letters_are_requeued_or_discarded_and_remembered(sample: Service) -> None:
    await send(sample, b"{not json")
    await send(sample, b"{nor this")
    await dead_letters(sample, 2)
    first, second = [row["id"] for row in await sample.dead_letters.find()]

    assert await sample.dead_letters.discard(ids=[first], by="ann") == 1
    assert await sample.dead_letters.requeue(sample.publisher, "sample.events", ids=[second], by="ann") == 1

    async def back_again() -> bool:
        return len(await sample.dead_letters.find()) == 1

    await eventually(back_again, what="the requeued one to fail again")
    shown = await sample.dead_letters.show(first)
    assert shown is not None
    assert (shown["state"], shown["decided_by"]) == ("discarded", "ann")


def connections_to(amqp_url: str) -> int:
    port = urlsplit(amqp_url).port
    return sum(
        1 for c in psutil.Process().net_connections() if c.raddr and c.raddr.port == port and c.status == "ESTABLISHED"
    )


async def test_a_stopped_service_leaves_no_connection_open(
    make_database: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    before = connections_to(amqp_url)
    async with running(sample_service(await make_database("sample"), amqp_url)) as service:
        await send(service, b"{not json")
        await dead_letters(service, 1)
        assert connections_to(amqp_url) > before

    assert connections_to(amqp_url) == before
