"""A rebuild gives what the live projection gave, repairs what was damaged, and announces only what differs."""

import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.consumer import Group
from shared.events import Event
from stats.errors import RebuildRunning
from stats.handlers import JournalHandler
from stats.service import generations, runs
from stats.service.lock import holding_lock
from stats.service.partial import rebuild_user
from stats.service.rebuild import Order, Outcome, Rebuild
from stats.service.rollback import roll_back
from support.apply import apply
from support.events import booking, linked, merged, payment, registered
from support.statistics import announced, fold, projected

ANN = "0190a000-0000-7000-8000-00000000000a"
BOB = "0190a000-0000-7000-8000-00000000000b"
CYD = "0190a000-0000-7000-8000-00000000000c"

HISTORY = [
    *(registered(user) for user in (ANN, BOB, CYD)),
    *(booking(f"b{n}", amount=f"{n}.50", created_at=f"2025-0{1 + n % 6}-01T10:00:00+00:00") for n in range(12)),
    *(linked(f"b{n}", (ANN, BOB, CYD)[n % 3]) for n in range(12)),
    *(payment(f"p{n}", f"b{n}", received=100 * n + 50) for n in range(8)),
    payment("p1", "b1", 2, received=150, refunded=50),
    payment("p2", "b2", 2, received=250, disputed=250),
    booking("b3", 2, deleted=True),
    linked("b4", ANN, 2),
    merged(CYD, ANN),
]


async def live(engine: AsyncEngine, events: list[Event], *, group: int = 7) -> None:
    await apply(engine, JournalHandler("/stats"), events, group=group)


async def rebuilt(engine: AsyncEngine, **order: Any) -> Outcome:
    return await Rebuild(engine, "/stats")(Order(operator="tests", **{"slice": 5, **order}))


async def query(engine: AsyncEngine, sql: str) -> Any:
    async with engine.begin() as connection:
        result = await connection.execute(text(sql))
        return result.all() if result.returns_rows else None


async def announcements(engine: AsyncEngine) -> list[str]:
    rows = await query(engine, "SELECT body FROM event_log ORDER BY seq")
    return [row.body["subject"] if isinstance(row.body, dict) else json.loads(row.body)["subject"] for row in rows]


async def test_a_rebuild_equals_live_and_the_fold_and_announces_nothing(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, HISTORY)
    before = await announcements(stats_engine)
    assert await projected(stats_engine) == fold(HISTORY)

    outcome = await rebuilt(stats_engine)

    assert (outcome.differences, outcome.switched, outcome.announced) == (0, True, 0)
    assert await projected(stats_engine) == fold(HISTORY)
    assert await query(stats_engine, "SELECT schema FROM generation WHERE live") == [("generation_2",)]
    assert await announcements(stats_engine) == before
    assert {user: line[:-1] for user, line in fold(HISTORY).items()} == await announced(stats_engine)


async def test_damage_is_reported_by_a_dry_run_and_repaired_and_announced_by_a_rebuild(
    stats_engine: AsyncEngine,
) -> None:
    await live(stats_engine, HISTORY)
    # what was announced was right: of the two damaged ones, readers see it and nobody needs to be told
    await query(stats_engine, f"UPDATE generation_1.currency_totals SET spent = spent + 1 WHERE user_id = '{BOB}'")  # noqa: S608
    # a projection that was wrong all along
    await query(stats_engine, f"DELETE FROM generation_1.activity WHERE user_id = '{ANN}'")  # noqa: S608
    await query(stats_engine, f"UPDATE announced_totals SET total_bookings = 77 WHERE user_id = '{ANN}'")  # noqa: S608
    count = len(await announcements(stats_engine))

    dry = await rebuilt(stats_engine, purpose="dry-run")
    assert (dry.differences, dry.switched) == (2, False)
    assert await query(stats_engine, "SELECT count(*) FROM generation") == [(1,)]
    assert [str(row[0]) for row in await query(stats_engine, "SELECT user_id FROM rebuild_difference")] == [ANN, BOB]

    outcome = await rebuilt(stats_engine)
    assert (outcome.differences, outcome.announced) == (2, 1)
    assert (await announcements(stats_engine))[count:] == [ANN]
    assert await projected(stats_engine) == fold(HISTORY)
    assert (await rebuilt(stats_engine, purpose="verify")).differences == 0


async def test_live_events_go_to_the_new_generation_and_a_rollback_has_them_too(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, HISTORY)
    await rebuilt(stats_engine)
    later = [booking("late", amount="9.00"), linked("late", BOB), merged(CYD, None, 2), payment("late", "late")]
    await live(stats_engine, later)
    assert await projected(stats_engine) == fold(HISTORY + later)

    back = await roll_back(stats_engine, "/stats")
    assert (back.live, back.before, back.announced) == ("generation_1", "generation_2", 0)
    assert await projected(stats_engine) == fold(HISTORY + later)
    more = [booking("late", 2, amount="10.00"), merged(BOB, ANN)]
    await live(stats_engine, more)
    forward = await roll_back(stats_engine, "/stats")
    assert (forward.live, forward.announced) == ("generation_2", 0)
    assert await projected(stats_engine) == fold(HISTORY + later + more)


async def test_a_transaction_under_way_at_the_switch_reaches_both_generations(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, HISTORY)
    slow = [booking("slow", amount="3.00"), linked("slow", BOB)]
    handler = JournalHandler("/stats")
    async with stats_engine.connect() as connection, connection.begin():
        fresh = await handler.claim(connection, slow)
        await rebuilt(stats_engine)
        await handler.apply(connection, Group(fresh))
    assert await projected(stats_engine) == fold(HISTORY + slow)

    await roll_back(stats_engine, "/stats")
    assert await projected(stats_engine) == fold(HISTORY + slow)


async def test_a_second_operator_is_told_about_the_first(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, HISTORY)
    async with holding_lock(stats_engine):
        async with stats_engine.begin() as connection:
            await runs.begin(
                connection,
                purpose="switch",
                schema=await generations.create(connection),
                operator="ann@desk",
                rate=None,
                as_of=None,
            )
        with pytest.raises(RebuildRunning, match=r"run by ann@desk since .*phase bulk, 0% done"):
            await rebuilt(stats_engine)


async def test_one_user_is_rebuilt_in_place_and_others_keep_what_they_have(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, HISTORY)
    await query(stats_engine, "UPDATE generation_1.booking_fact SET amount = 1000 WHERE booking_id = 'b1'")
    await query(stats_engine, f"UPDATE generation_1.currency_totals SET spent = spent + 500 WHERE user_id = '{BOB}'")  # noqa: S608
    await query(stats_engine, "DELETE FROM generation_1.activity WHERE booking_id = 'b1'")

    dry = await rebuild_user(stats_engine, "/stats", UUID(BOB), operator="tests", dry_run=True)
    assert (list(map(str, dry.differences)), dry.replaced) == ([BOB], False)
    result = await rebuild_user(stats_engine, "/stats", UUID(BOB), operator="tests")
    assert (len(result.differences), result.replaced, result.announced) == (1, True, 0)
    assert await projected(stats_engine) == fold(HISTORY)
    assert not (await rebuild_user(stats_engine, "/stats", UUID(ANN), operator="tests")).differences
    later = [linked("b1", ANN, 3), booking("b1", 3, amount="8.00")]
    await live(stats_engine, later)
    assert await projected(stats_engine) == fold(HISTORY + later)
