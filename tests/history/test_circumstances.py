"""What happens around an import is no row's fault: locks held, errors that pass, a database that refuses everything."""

from collections.abc import AsyncIterator
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from bookings_gateway.capture import LOCK
from bookings_gateway.history.desk import ErrorDesk
from bookings_gateway.history.errors import Interrupted, NotReady, RefusedAgain, TooManyRefused
from bookings_gateway.history.patience import Patience
from support.came_to import assert_came_to
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_due import due
from support.legacy_generations import LAYOUTS
from support.legacy_history import facts
from support.legacy_table import execute

FACTS = facts(60, seed=81)
DUE = due(LAYOUTS["default"], FACTS)
STATE = "SELECT state FROM import_run"
SET_ASIDE = "SELECT count(*) FROM import_item WHERE code = 'refused_by_database'"
SILENT = "SELECT extract(epoch FROM clock_timestamp() - heartbeat_at) FROM import_run"
AN_HOUR_AGO = "UPDATE import_run SET heartbeat_at = now() - interval '1 hour'"
REFUSED = "ALTER TABLE import_item ADD CHECK (outcome <> 'published' OR {unless})"
PASSES = [
    "CREATE SEQUENCE public.tries",
    """
    CREATE FUNCTION public.fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('public.tries') <= 2 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER fail_twice BEFORE INSERT ON import_chunk FOR EACH ROW EXECUTE FUNCTION public.fail_twice()",
]


@pytest.fixture
async def moved(databases: Databases) -> AsyncIterator[Moved]:
    async with moving(databases, "default", FACTS) as moved:
        yield moved


async def import_with(moved: Moved, patience: Patience) -> None:
    async with moved.history.importing(by="tests") as importer:
        importer.patience = patience
        async for _ in importer.chunks():
            pass


async def test_while_captures_turn_is_held_no_row_is_set_aside(moved: Moved) -> None:
    async with moved.gateway.begin() as frozen:
        await frozen.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        with pytest.raises(Interrupted, match="55P03"):
            await import_with(moved, Patience(lock_seconds=0.1, pauses=(0.0, 0.0)))
        assert await moved.value("bookings-gateway", STATE) == "failed"

    assert await moved.import_all() == len(FACTS)
    await moved.settle()
    await assert_came_to(moved.rows, DUE)


async def test_an_error_that_passes_is_lived_through(moved: Moved) -> None:
    for statement in PASSES:
        await execute(moved.gateway, statement)
    await import_with(moved, Patience(pauses=(0.0, 0.0)))
    await moved.settle()

    await assert_came_to(moved.rows, DUE)


async def test_a_row_the_database_refuses_is_set_aside_alone(moved: Moved) -> None:
    one = next(id_ for id_ in sorted(DUE.payments))
    await execute(moved.gateway, REFUSED.format(unless=f"booking_id <> '{one}'"))

    assert await moved.import_all() == len(FACTS)

    assert await moved.value("bookings-gateway", SET_ASIDE) == 1
    with pytest.raises(RefusedAgain, match="23514"):
        await ErrorDesk(moved.history).retry([one], by="Olga")
    assert await moved.value("bookings-gateway", STATE) == "imported"


async def test_when_the_database_refuses_every_row_it_stops_early(moved: Moved) -> None:
    await execute(moved.gateway, REFUSED.format(unless="false"))

    with pytest.raises(TooManyRefused, match="23514"):
        await moved.import_all()

    assert await moved.value("bookings-gateway", SET_ASIDE) < len(FACTS) / 2
    assert await moved.value("bookings-gateway", STATE) == "failed"


async def test_a_pass_that_finds_nothing_gives_signs_of_life(moved: Moved) -> None:
    await moved.import_all()
    importer = await moved.begin()
    await moved.rows("bookings-gateway", AN_HOUR_AGO)

    assert [rows async for rows in importer.chunks()] == []
    assert await moved.value("bookings-gateway", SILENT) < 60


async def test_an_import_goes_on_with_the_settings_it_began_with_or_not_at_all(moved: Moved) -> None:
    importer = await moved.begin()
    importer.rows = 20
    await anext(importer.chunks())
    await moved.rows("bookings-gateway", AN_HOUR_AGO)

    for other in (replace(moved.history, currency="EUR"), replace(moved.history, zone=ZoneInfo("Asia/Tokyo"))):
        with pytest.raises(NotReady, match=r"EUR|Asia/Tokyo"):
            async with other.importing(by="tests"):
                pytest.fail("it went on")


async def test_rows_of_a_chunk_can_be_changed_where_an_import_goes_on(moved: Moved) -> None:
    await moved.begin()
    await moved.rows("bookings-gateway", AN_HOUR_AGO)

    async with moved.history.importing(by="tests", chunk_rows=7) as importer:
        assert max([rows async for rows in importer.chunks()]) == 7
