"""What is wrong is set aside with its reason, is seen in ``status``, and harms nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts import NewerSchema
from shared.contracts.base import BrokenContract
from shared.events import BATCH_CONTENT_TYPE, Event, encode_batch
from shared.publisher import Outgoing
from shared.topology import EXCHANGE
from stats.errors import FutureTimestamp
from stats.handlers import JournalHandler
from stats.journal import row_of
from stats.main import create_service
from stats.service.rebuild import Order, Rebuild
from stats.settings import Settings
from support.apply import apply
from support.events import booking, linked, payment, registered
from support.sample_service import running
from support.statistics import fold, projected
from support.waiting import eventually

ANN = "0190a000-0000-7000-8000-00000000000a"
GOOD = [registered(ANN), booking("b1"), linked("b1", ANN), payment("p1", "b1")]
BAD = [booking("b2"), linked("b2", ANN), payment("p2", "b1"), booking("b3"), linked("b3", ANN)]


def changed(event: Event, **fields: Any) -> Event:
    return event.model_copy(update=fields)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (changed(booking("b"), dataschema="urn:bookings:event:booking.created:v2"), NewerSchema),
        (changed(booking("b"), time=datetime.now(UTC) + timedelta(days=2)), FutureTimestamp),
        (payment("p", "b", received=-1), BrokenContract),
        (payment("p", "b", disputed=-1), BrokenContract),
        (linked("b", "nobody"), BrokenContract),
        (booking("b", amount="12,50"), BrokenContract),
    ],
)
def test_what_does_not_fit_is_refused_at_the_door_with_a_reason(event: Event, error: type[Exception]) -> None:
    with pytest.raises(error):
        row_of(event)


async def test_bad_events_are_dead_letters_seen_in_status_and_their_neighbours_count(
    stats_engine: AsyncEngine, operator: Any, amqp_url: str
) -> None:
    bad = [
        changed(booking("newer"), dataschema="urn:bookings:event:booking.created:v2"),
        changed(booking("early"), time=datetime.now(UTC) + timedelta(days=2)),
        payment("negative", "b1", received=-1),
    ]
    url = operator.environment["STATS_DATABASE_URL"]
    settings = Settings.model_validate({"database_url": url, "amqp_url": amqp_url})
    async with running(create_service(settings)) as service:
        body = encode_batch([event.encode().decode() for event in [*GOOD[:2], *bad, *GOOD[2:]]])
        message = Outgoing(body, "booking.created", BATCH_CONTENT_TYPE, message_id="bad", exchange=EXCHANGE)
        assert await service.publisher.publish([message]) == [None]

        async def set_aside() -> bool:
            return len(await service.dead_letters.find()) == len(bad)

        await eventually(set_aside, what="three dead letters")

    assert await projected(stats_engine) == fold(GOOD)
    status = await operator.types("status")
    for reason in ("NewerSchema", "FutureTimestamp", "BrokenContract"):
        assert reason in status


async def corrupt(engine: AsyncEngine, subject: str, column: str, value: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"UPDATE journal SET {column} = {value} WHERE subject = '{subject}'"))  # noqa: S608


async def test_a_corrupted_journal_row_is_set_aside_shown_and_counts_again_once_mended(
    stats_engine: AsyncEngine, operator: Any
) -> None:
    await apply(stats_engine, JournalHandler("/stats"), GOOD + BAD)
    await corrupt(stats_engine, "b2", "currency", "NULL")
    await corrupt(stats_engine, "p2", "received", "-5")
    await corrupt(stats_engine, "b3", "time", "now() + interval '1 year'")

    outcome = await Rebuild(stats_engine, "/stats")(Order(slice=2))

    assert outcome.differences == 1
    seen = [*GOOD, linked("b2", ANN)]
    assert await projected(stats_engine) == fold(seen)
    status = await operator.types("status")
    for reason in ("a booking without id or currency", "a negative amount", "its time lies in the future"):
        assert reason in status

    async with stats_engine.begin() as connection:
        for event in BAD:
            row = row_of(event)
            await connection.execute(
                text(
                    "UPDATE journal SET currency = :currency, received = :received, time = :time WHERE event_id = :id"
                ),
                {
                    "id": event.id,
                    "currency": row.get("currency"),
                    "received": row.get("received"),
                    "time": row["time"],
                },
            )
    await Rebuild(stats_engine, "/stats")(Order(slice=2))
    assert await projected(stats_engine) == fold(GOOD + BAD)
    assert "set aside: nothing" in await operator.types("status")


async def test_a_damaged_row_is_replaced_by_its_producers_replay_as_the_runbook_says(
    stats_engine: AsyncEngine, operator: Any
) -> None:
    await apply(stats_engine, JournalHandler("/stats"), GOOD)
    await corrupt(stats_engine, "p1", "received", "-5")

    async with stats_engine.begin() as connection:
        await connection.execute(text("DELETE FROM journal WHERE subject = 'p1'"))
    await apply(stats_engine, JournalHandler("/stats"), [event for event in GOOD if event.subject == "p1"])
    await operator.types("rebuild", "--user", ANN)

    assert await projected(stats_engine) == fold(GOOD)
    assert "no differences" in await operator.types("verify")


async def test_a_negative_booking_amount_counts_as_the_customers_statement_counts_it_and_is_noticed(
    stats_engine: AsyncEngine, operator: Any
) -> None:
    events = [*GOOD, booking("discount", amount="-10.00"), linked("discount", ANN)]
    await apply(stats_engine, JournalHandler("/stats"), events)

    assert await projected(stats_engine) == fold(events)
    assert "1 booking events with a negative amount" in await operator.types("status")
