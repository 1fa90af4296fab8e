"""Operators and live events in each other's way, processes that die at the wrong moment: the statistics stay right."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.consumer import Group
from shared.events import Event
from stats.errors import Cancelled, RebuildRunning
from stats.handlers import JournalHandler
from stats.service import runs, slices
from stats.service.bulk import Progress
from stats.service.catch_up import CatchUp
from stats.service.partial import rebuild_user
from stats.service.rebuild import Order, Rebuild
from stats.service.retention import forget
from stats.service.rollback import roll_back
from support.apply import apply
from support.events import booking, linked, merged, payment, registered
from support.statistics import fold, projected
from support.waiting import eventually

ANN = "0190a000-0000-7000-8000-00000000000a"
BOB = "0190a000-0000-7000-8000-00000000000b"
HISTORY = [
    registered(ANN),
    registered(BOB),
    *(event for n in range(9) for event in (booking(f"b{n}"), linked(f"b{n}", (ANN, BOB)[n % 2]))),
    payment("p1", "b1"),
]


async def live(engine: AsyncEngine, events: list[Event], *, group: int = 7) -> None:
    await apply(engine, JournalHandler("/stats"), events, group=group)


async def execute(engine: AsyncEngine, sql: str, **parameters: object) -> Any:
    async with engine.begin() as connection:
        result = await connection.execute(text(sql), parameters)
        return result.all() if result.returns_rows else None


class Killed(Exception):
    """Stands for the end of the process."""


class Mortal(Progress):
    """Ends the process as it enters a phase."""

    last = "catching up"

    def __setattr__(self, name: str, value: object) -> None:
        if (name, value) == ("phase", self.last):
            raise Killed
        super().__setattr__(name, value)


class MortalLater(Mortal):
    last = "switching"


async def interrupted(engine: AsyncEngine, progress: type[Progress] = Mortal) -> None:
    """A rebuild whose process ended half way."""
    with pytest.raises(Killed):
        await Rebuild(engine, "/stats", progress())(Order(slice=5))


@pytest.mark.parametrize("progress", [Mortal, MortalLater])
async def test_one_user_is_rebuilt_and_the_statistics_rolled_back_while_an_interrupted_rebuild_waits(
    stats_engine: AsyncEngine, progress: type[Progress]
) -> None:
    await live(stats_engine, HISTORY)
    await Rebuild(stats_engine, "/stats")(Order())
    await interrupted(stats_engine, progress)
    await execute(stats_engine, "UPDATE generation_2.currency_totals SET spent = spent + 1")

    assert (await rebuild_user(stats_engine, "/stats", UUID(ANN), operator="tests")).replaced
    assert (await rebuild_user(stats_engine, "/stats", UUID(BOB), operator="tests")).replaced
    assert await projected(stats_engine) == fold(HISTORY)
    assert (await roll_back(stats_engine, "/stats")).live == "generation_1"
    assert (await Rebuild(stats_engine, "/stats")(Order(slice=5))).run.schema == "generation_3"
    assert await projected(stats_engine) == fold(HISTORY)


async def test_two_processes_that_both_believe_to_rebuild_apply_each_slice_once(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, HISTORY[:5])
    await interrupted(stats_engine)
    await live(stats_engine, HISTORY[5:])

    await asyncio.gather(*(CatchUp(stats_engine, "generation_2").follow() for _ in range(4)))

    assert await projected(stats_engine, "generation_2") == fold(HISTORY)


async def test_a_process_that_lost_its_lock_cannot_touch_a_generation_that_went_live_without_it(
    stats_engine: AsyncEngine,
) -> None:
    await live(stats_engine, HISTORY)
    await interrupted(stats_engine)
    straggler = CatchUp(stats_engine, "generation_2")
    await Rebuild(stats_engine, "/stats")(Order(slice=5))
    later = [booking("late"), linked("late", ANN)]
    await live(stats_engine, later)

    with pytest.raises(RebuildRunning):
        await straggler.follow()
    with pytest.raises(RebuildRunning):
        await straggler.switch(None)

    assert await projected(stats_engine) == fold(HISTORY + later)


async def test_a_slice_that_another_process_just_finished_is_followed_by_the_next(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, HISTORY)

    async with stats_engine.begin() as connection:
        run = await Rebuild(stats_engine, "/stats")._begin(connection, Order(slice=5))
    async with stats_engine.begin() as dying, stats_engine.connect() as connection, connection.begin():
        first = await slices.next_slice(dying, run, "facts")
        second = asyncio.ensure_future(slices.next_slice(connection, run, "facts"))
        await eventually(lambda: waits_for_a_lock(stats_engine), what="the second waits")
        assert first
        await slices.step(dying, run, "facts", first.events)
        await dying.commit()
        assert (found := await second)
        assert found.window.after == first.window.to


async def test_a_cancel_between_the_passes_leaves_nothing(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, HISTORY)
    rebuild = Rebuild(stats_engine, "/stats")
    async with stats_engine.connect() as connection, connection.begin():
        work = asyncio.ensure_future(rebuild(Order(slice=5, rate=10)))
        await eventually(lambda: _is(rebuild.progress.done > len(HISTORY)), what="in the passes side by side")
        assert await runs.wish(connection, "cancel")
        await connection.commit()
    with pytest.raises(Cancelled):
        await work
    assert await execute(stats_engine, "SELECT schema FROM generation") == [("generation_1",)]


async def test_a_cancel_that_comes_before_the_switch_is_heard(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, HISTORY)
    rebuild = Rebuild(stats_engine, "/stats")
    async with stats_engine.begin() as live_group:
        await live_group.execute(text("SELECT pg_advisory_xact_lock(7301955003)"))
        work = asyncio.ensure_future(rebuild(Order()))
        await eventually(lambda: _is(rebuild.progress.phase == "switching"), what="about to switch")
        async with stats_engine.begin() as connection:
            assert await runs.wish(connection, "cancel")

    with pytest.raises(Cancelled):
        await work
    assert await execute(stats_engine, "SELECT schema FROM generation") == [("generation_1",)]
    assert await execute(stats_engine, "SELECT state FROM rebuild") == [("cancelled",)]


async def _is(condition: bool) -> bool:  # noqa: FBT001
    return condition


async def test_a_month_is_forgotten_while_a_live_group_is_under_way(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, [booking("b", n, amount=f"{n}.00") for n in range(1, 5)])
    await execute(
        stats_engine,
        "UPDATE journal SET event_id = CAST(overlay(CAST(uuidv7() AS text) placing '0' from 20 for 1) AS uuid)",
    )
    await Rebuild(stats_engine, "/stats")(Order())
    await execute(stats_engine, "UPDATE generation SET retired_at = retired_at - interval '1 hour'")
    await execute(stats_engine, "DELETE FROM generation WHERE NOT live")
    month = (await execute(stats_engine, "SELECT DISTINCT CAST(CAST(tableoid AS regclass) AS text) FROM journal"))[0][0]

    handler = JournalHandler("/stats")
    async with stats_engine.connect() as connection, connection.begin():
        fresh = await handler.claim(connection, HISTORY)
        forgetting = asyncio.ensure_future(forget(stats_engine, month, really=True))
        await eventually(lambda: waits_for_a_lock(stats_engine), what="forgetting waits for the live group")
        await handler.apply(connection, Group(fresh))

    assert (await forgetting).forgotten == 3
    assert (await Rebuild(stats_engine, "/stats")(Order(purpose="verify"))).differences == 0


async def waits_for_a_lock(engine: AsyncEngine) -> bool:
    rows = await execute(
        engine, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return bool(rows)


async def test_an_empty_journal_is_rebuilt(stats_engine: AsyncEngine) -> None:
    outcome = await Rebuild(stats_engine, "/stats")(Order())
    assert (outcome.differences, outcome.switched) == (0, True)
    await live(stats_engine, HISTORY)
    assert await projected(stats_engine) == fold(HISTORY)


async def test_merges_in_a_circle_come_out_the_same_live_and_rebuilt(stats_engine: AsyncEngine) -> None:
    circle = [merged(ANN, BOB), merged(BOB, ANN)]
    await live(stats_engine, HISTORY + circle, group=3)
    assert await projected(stats_engine) == fold(HISTORY + circle)
    assert (await Rebuild(stats_engine, "/stats")(Order(slice=5))).differences == 0
    assert await projected(stats_engine) == fold(HISTORY + circle)


async def test_of_two_events_with_one_sequence_the_same_one_counts_live_and_rebuilt(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, [registered(ANN), *(linked(f"b{n}", ANN) for n in range(20))])
    for amount in ("1.00", "2.00"):
        twins = [booking(f"b{n}", amount=amount).model_copy(update={"id": uuid4()}) for n in range(20)]
        await live(stats_engine, twins)

    assert (await Rebuild(stats_engine, "/stats")(Order(purpose="verify"))).differences == 0


async def test_live_events_are_locked_out_for_a_handful_of_statements_and_not_for_the_disk(
    stats_engine: AsyncEngine,
) -> None:
    await live(stats_engine, HISTORY)
    said: list[str] = []
    listen(stats_engine.sync_engine, "before_cursor_execute", lambda *call: said.append(call[2]))
    await Rebuild(stats_engine, "/stats")(Order())

    locked = next(place for place, statement in enumerate(said) if "pg_advisory_xact_lock" in statement)
    done = next(place for place, statement in enumerate(said) if "state = 'done'" in statement)
    assert done - locked <= 5
    assert any("'synchronous_commit', 'off'" in statement for statement in said[locked - 2 : locked])


async def test_rows_of_lower_number_that_commit_late_are_not_missed(stats_engine: AsyncEngine) -> None:
    await live(stats_engine, HISTORY)
    early = [booking("early"), linked("early", BOB)]
    late = [event for n in range(150) for event in (booking(f"l{n}"), linked(f"l{n}", ANN))]
    handler = JournalHandler("/stats")
    async with stats_engine.connect() as connection, connection.begin():
        fresh = await handler.claim(connection, early)
        await live(stats_engine, late, group=60)
        rebuild = Rebuild(stats_engine, "/stats")
        work = asyncio.ensure_future(rebuild(Order(slice=5)))
        await eventually(lambda: _is("older" in rebuild.progress.note), what="held by the fence, and saying so")
        await handler.apply(connection, Group(fresh))

    assert (await work).differences == 0
    assert await projected(stats_engine) == fold(HISTORY + early + late)


async def test_statistics_restored_on_another_server_go_on(stats_engine: AsyncEngine, operator: Any) -> None:
    """Transaction ids belong to one server: restored ones may lie in the future, and be given out again."""
    await live(stats_engine, HISTORY)
    await Rebuild(stats_engine, "/stats")(Order())
    await interrupted(stats_engine)
    coming = "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) + 20 + seq"
    await execute(stats_engine, f"UPDATE journal SET xid = CAST(CAST({coming} AS text) AS xid8)")  # noqa: S608

    assert "came from another server" in await operator.types("migrate")

    assert await execute(stats_engine, "SELECT schema FROM generation") == [("generation_2",)]
    later = [[booking(f"new{n}"), linked(f"new{n}", ANN)] for n in range(60)]
    for events in later:
        await live(stats_engine, events)
    everything = HISTORY + [event for events in later for event in events]
    assert await projected(stats_engine) == fold(everything)
    assert (await Rebuild(stats_engine, "/stats")(Order(slice=5))).differences == 0
    assert await projected(stats_engine) == fold(everything)
    assert "tables are up to date" in await operator.types("migrate")


async def test_live_groups_without_a_pause_neither_hold_up_a_switch_nor_count_as_differences(
    stats_engine: AsyncEngine,
) -> None:
    await live(stats_engine, HISTORY)
    events, done = list[Event](), False

    async def keep_writing() -> None:
        while not done:
            ids = [str(uuid4()) for _ in range(250)]
            group = [event for id_ in ids for event in (booking(id_), linked(id_, BOB))]
            await live(stats_engine, group, group=500)
            events.extend(group)

    writing = asyncio.ensure_future(keep_writing())
    found = await asyncio.wait_for(Rebuild(stats_engine, "/stats")(Order(purpose="verify")), 30)
    outcome = await asyncio.wait_for(Rebuild(stats_engine, "/stats")(Order()), 30)
    done = True
    await writing

    assert (found.differences, outcome.differences, outcome.announced) == (0, 0, 0)
    assert await projected(stats_engine) == fold(HISTORY + events)
