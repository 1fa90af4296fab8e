"""Bulk events: each user is announced once for all that changed, and nobody is forgotten, whatever comes in between."""

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.consumer import Group
from stats.handlers import JournalHandler
from stats.service.announce import announce_changes
from stats.service.rebuild import Order, Rebuild
from support.apply import apply
from support.events import booking, linked, payment, registered
from support.legacy_table import fetch
from support.statistics import announced, fold, projected

ANN, BOB = "0190a000-0000-7000-8000-00000000000a", "0190a000-0000-7000-8000-00000000000b"
HISTORY = [
    *(registered(user) for user in (ANN, BOB)),
    *(booking(f"b{n}") for n in range(8)),
    *(linked(f"b{n}", (ANN, BOB)[n % 2]) for n in range(8)),
    *(payment(f"p{n}", f"b{n}") for n in range(8)),
]
ANNOUNCED = "SELECT subject FROM event_log ORDER BY subject"


async def bulk(engine: AsyncEngine, *, group: int = 5) -> None:
    handler = JournalHandler("/stats")
    for start in range(0, len(HISTORY), group):
        async with engine.begin() as connection:
            fresh = await handler.claim(connection, HISTORY[start : start + group])
            await handler.apply(connection, Group(fresh, bulk=True))


async def test_a_user_is_announced_once_for_all_that_bulk_events_changed(stats_engine: AsyncEngine) -> None:
    await bulk(stats_engine)
    assert await projected(stats_engine) == fold(HISTORY)
    assert await fetch(stats_engine, ANNOUNCED) == []

    assert await announce_changes(stats_engine, "/stats") == 2

    assert await fetch(stats_engine, ANNOUNCED) == [(ANN,), (BOB,)]
    assert {user: line[:-1] for user, line in fold(HISTORY).items()} == await announced(stats_engine)
    assert await announce_changes(stats_engine, "/stats") == 0


async def test_a_switch_forgets_nobody_who_was_still_to_be_announced(stats_engine: AsyncEngine) -> None:
    await bulk(stats_engine)

    outcome = await Rebuild(stats_engine, "/stats")(Order(operator="tests", slice=5))

    assert (outcome.differences, outcome.announced) == (0, 2)
    assert {user: line[:-1] for user, line in fold(HISTORY).items()} == await announced(stats_engine)


async def test_a_live_event_announces_its_user_at_once_though_bulk_ones_wait(stats_engine: AsyncEngine) -> None:
    await bulk(stats_engine)
    more = [booking("b9"), linked("b9", ANN)]

    await apply(stats_engine, JournalHandler("/stats"), more)

    assert {row[0] for row in await fetch(stats_engine, ANNOUNCED)} == {ANN}
    assert await announce_changes(stats_engine, "/stats") == 1
    assert {user: line[:-1] for user, line in fold([*HISTORY, *more]).items()} == await announced(stats_engine)
