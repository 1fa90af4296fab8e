"""An import under way is paused, goes on, is tuned; and no row stops the others."""

import asyncio
from typing import Any

import pytest
from sqlalchemy.event import listen

from bookings_gateway.history import runs
from bookings_gateway.history.errors import ImportHeld, LeaseLost, NotReady, Paused
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_due import due
from support.legacy_generations import LAYOUTS
from support.legacy_history import facts
from support.waiting import eventually

FACTS = facts(120, seed=81)
CODES = "SELECT booking_id, code FROM import_item WHERE outcome = 'set_aside' ORDER BY booking_id"


async def state(moved: Moved) -> str:
    return (await moved.history.status()).state


async def import_and_pause(moved: Moved, told: list[int]) -> None:
    """Import in chunks of thirty; Olga pauses it after the first."""
    async with moved.history.importing(by="tests", chunk_rows=30) as importer:
        async for rows in importer.chunks():
            told.append(rows)
            assert await moved.history.pause(by="Olga")


async def test_paused_it_stops_after_its_chunk_and_goes_on_where_it_was(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        told: list[int] = []
        with pytest.raises(Paused):
            await import_and_pause(moved, told)
        now = await moved.history.status()
        assert (now.state, now.remark, told, now.counted.left) == ("paused", "paused by Olga", [30], 90)
        assert not await moved.history.pause(by="Olga")

        assert await moved.import_all() == 90
        assert await state(moved) == "imported"


async def test_paused_while_it_waits_it_stops_and_says_who_paused_it(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        importer = await moved.begin()
        assert await moved.history.pause(by="Olga")

        with pytest.raises(Paused):
            await importer.say("p95 of something")
        assert (await moved.history.status()).remark == "paused by Olga"
        await moved.go_on()
        with pytest.raises(LeaseLost):
            await importer.say("p95 of something")


async def test_one_under_way_is_held_unless_it_is_surely_gone(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        await moved.begin()

        with pytest.raises(ImportHeld):
            await moved.import_all()
        async with moved.history.importing(by="Olga", force=True) as importer:
            assert sum([rows async for rows in importer.chunks()]) == 120


async def test_how_fast_it_goes_is_told_by_the_chunks_since_it_went_on(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        with pytest.raises(Paused):
            await import_and_pause(moved, [])
        await moved.rows("bookings-gateway", "UPDATE import_chunk SET done_at = done_at - interval '1 day'")
        await moved.import_all()

        rate = (await moved.history.status()).rows_per_second
        assert rate is not None
        assert rate > 1  # and not ninety rows in a day


async def test_a_long_backlog_is_told_before_the_run_is_held_and_with_signs_of_life(databases: Databases) -> None:
    async with moving(databases, "default", facts(600, seed=82)) as moved:
        importer = await moved.begin()
        await moved.rows("bookings-gateway", 'UPDATE bookings SET "updatedAt" = now()')
        await moved.rows("bookings-gateway", 'UPDATE bookings SET "updatedAt" = now()')
        statements: list[str] = []

        def note(*arguments: Any) -> None:
            statements.append(arguments[2])

        listen(moved.gateway.sync_engine, "before_cursor_execute", note)
        listen(moved.gateway.sync_engine, "commit", lambda _: statements.append("commit"))
        await anext(importer.chunks())

        transactions = "\n".join(statements).split("commit")
        captures = [each for each in transactions if "FROM booking_change ORDER BY seq" in each]
        holding = [each for each in captures if "FROM import_run" in each]
        assert len(captures) == 4
        assert [each.count("FROM booking_change ORDER BY seq") for each in holding] == [1]
        assert sum("SET remark" in each for each in transactions) == 2


async def has_to_wait(moved: Moved) -> None:
    """Return when a session of this database waits for what another holds."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    await eventually(lambda: moved.value("bookings-gateway", waits))


async def test_of_two_first_imports_at_once_the_second_is_held(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        async with moved.gateway.begin() as other:
            await runs.begin(other, {"columns": []}, by="Olga", chunk_rows=1, version="1")
            second = asyncio.create_task(moved.import_all())
            await has_to_wait(moved)

        with pytest.raises(ImportHeld):
            await second


async def test_an_import_that_begins_while_a_rollback_takes_the_run_is_refused(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        await moved.import_all()
        async with moved.gateway.begin() as rollback:
            run = await runs.locked(rollback)
            assert run is not None
            await runs.take(rollback, run, state="rolling_back")
            second = asyncio.create_task(moved.import_all())
            await has_to_wait(moved)

        with pytest.raises(NotReady, match="being taken back"):
            await second
        assert await state(moved) == "rolling_back"


async def test_the_size_of_chunks_changes_while_it_runs(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        chunks = (await moved.begin()).chunks()
        await moved.history.set_chunk_rows(40)
        assert await anext(chunks) == 40
        await moved.history.set_chunk_rows(7)

        assert await anext(chunks) == 7


async def test_a_row_the_database_refuses_is_set_aside_alone(databases: Databases) -> None:
    wanted = due(LAYOUTS["default"], FACTS).set_aside
    poison = next(str(fact.id) for fact in FACTS if str(fact.id) not in wanted)
    async with moving(databases, "default", FACTS) as moved:
        refuse = f"ALTER TABLE import_item ADD CHECK (booking_id <> '{poison}' OR outcome = 'set_aside')"
        await moved.rows("bookings-gateway", refuse)

        importer = await moved.begin()
        assert sum([rows async for rows in importer.chunks()]) == len(FACTS)

        codes = {row["booking_id"]: row["code"] for row in await moved.rows("bookings-gateway", CODES)}
        assert codes.keys() == wanted | {poison}
        assert codes[poison] == "refused_by_database"
        assert importer.rows > 1  # it took up speed again


async def test_going_on_it_does_not_lose_time_with_what_was_told(databases: Databases) -> None:
    async with moving(databases, "default", facts(600, seed=82)) as moved:
        await moved.import_all()
        await moved.rows("bookings-gateway", "DELETE FROM import_item WHERE booking_id > 'f8'")
        since = "UPDATE import_run SET started_at = clock_timestamp(), state = 'paused'"
        await moved.rows("bookings-gateway", since)
        statements: list[str] = []

        def note(*arguments: Any) -> None:
            statements.append(arguments[2])

        listen(moved.gateway.sync_engine, "before_cursor_execute", note)
        async with moved.history.importing(by="tests", chunk_rows=5) as importer:
            importer.rows = 5
            told = sum([rows async for rows in importer.chunks()])

        looks = [statement for statement in statements if "gateway_told" in statement]
        assert told > 0
        assert len(looks) < told / 5 + 20  # in steps of five, a pass takes a hundred and twenty
