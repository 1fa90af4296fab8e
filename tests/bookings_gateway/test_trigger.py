"""Whoever writes the legacy table, by plain SQL too, leaves a change; and the trigger never gets in the way."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.domain import DEFAULT_LAYOUT
from bookings_gateway.errors import LegacyTableMissing, LegacyTableUnfit
from bookings_gateway.install import install
from support.legacy_table import book, execute, fetch, insert_booking
from support.waiting import eventually

_CHANGES = "SELECT CAST(op AS text), booking_id, CAST(row AS text) FROM booking_change ORDER BY seq"
_RENAME = """UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb) WHERE id = CAST(:id AS uuid)"""


async def changes(engine: AsyncEngine) -> list[tuple[str, str, dict[str, Any]]]:
    return [(op, id_, json.loads(row)) for op, id_, row in await fetch(engine, _CHANGES)]


async def test_insert_update_and_delete_by_plain_sql_become_changes(gateway_engine: AsyncEngine) -> None:
    id_ = await book(gateway_engine, finalAmount="67.50")
    await execute(gateway_engine, "UPDATE bookings SET status = 'PAID'")
    await execute(gateway_engine, "DELETE FROM bookings")

    found = await changes(gateway_engine)

    assert [(op, booking_id) for op, booking_id, _ in found] == [("I", id_), ("U", id_), ("D", id_)]
    assert [row["status"] for _, _, row in found] == ["PENDING", "PAID", "PAID"]


async def test_setting_user_id_is_no_change(gateway_engine: AsyncEngine) -> None:
    await book(gateway_engine)
    await execute(gateway_engine, "UPDATE bookings SET user_id = gen_random_uuid()")
    await execute(gateway_engine, "UPDATE bookings SET status = status")
    await execute(gateway_engine, "UPDATE bookings SET user_id = NULL, status = 'PAID'")

    assert [op for op, _, _ in await changes(gateway_engine)] == ["I", "U"]


async def test_a_changed_id_is_a_booking_gone_and_another_made(gateway_engine: AsyncEngine) -> None:
    old = await book(gateway_engine)
    await execute(gateway_engine, "UPDATE bookings SET id = '00000000-0000-4000-8000-000000000001'")

    found = [(op, id_) for op, id_, _ in await changes(gateway_engine)]

    assert found == [("I", old), ("D", old), ("I", "00000000-0000-4000-8000-000000000001")]


async def test_a_column_named_like_a_quote_of_the_functions_body_is_a_column(gateway_engine: AsyncEngine) -> None:
    await execute(gateway_engine, 'ALTER TABLE bookings RENAME "updatedAt" TO "up$$d $body0$"')

    await install(gateway_engine, "bookings", replace(DEFAULT_LAYOUT, updated_at="up$$d $body0$"))

    await book(gateway_engine)
    await execute(gateway_engine, 'UPDATE bookings SET user_id = gen_random_uuid(), "up$$d $body0$" = now()')
    assert [op for op, _, _ in await changes(gateway_engine)] == ["I"]


async def test_a_rolled_back_write_leaves_nothing(gateway_engine: AsyncEngine) -> None:
    async with gateway_engine.connect() as connection:
        await insert_booking(connection)
        await connection.rollback()

    assert await changes(gateway_engine) == []


async def test_a_writer_without_any_right_on_our_tables_is_captured(gateway_engine: AsyncEngine) -> None:
    async with gateway_engine.begin() as connection:
        await connection.execute(text("CREATE ROLE legacy_writer"))
        await connection.execute(text("GRANT INSERT ON bookings TO legacy_writer"))
        await connection.execute(text("SET LOCAL ROLE legacy_writer"))
        await connection.execute(text("""INSERT INTO bookings ("bookingReference") VALUES ('R1')"""))
        await connection.execute(text("RESET ROLE"))
        await connection.execute(text("DROP OWNED BY legacy_writer"))
        await connection.execute(text("DROP ROLE legacy_writer"))

    assert [op for op, _, _ in await changes(gateway_engine)] == ["I"]


async def test_two_writers_of_one_booking_are_captured_in_the_order_of_their_commits(
    gateway_engine: AsyncEngine,
) -> None:
    id_ = await book(gateway_engine)
    async with gateway_engine.begin() as first, gateway_engine.connect() as second:
        second_pid = (await second.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await first.execute(text(_RENAME), {"id": id_, "contact": '{"name": "first"}'})
        waiting = asyncio.create_task(second.execute(text(_RENAME), {"id": id_, "contact": '{"name": "second"}'}))
        await eventually(lambda: _waits_for_a_lock(gateway_engine, second_pid))
        await first.commit()
        await waiting
        await second.commit()

    contacts = [row["contactDetails"] for op, _, row in await changes(gateway_engine) if op == "U"]
    assert contacts == [{"name": "first"}, {"name": "second"}]


async def _waits_for_a_lock(engine: AsyncEngine, pid: int) -> bool:
    return bool(await fetch(engine, "SELECT 1 FROM pg_locks WHERE pid = :pid AND NOT granted", pid=pid))


@pytest.mark.parametrize("value", ["infinity", "0044-03-15 00:00:00 BC", "294276-01-01"])
async def test_a_time_json_knows_no_form_of_does_not_stop_the_writer(gateway_engine: AsyncEngine, value: str) -> None:
    await book(gateway_engine, createdAt=value, contactDetails="not an object", finalAmount="NaN")

    assert len(await changes(gateway_engine)) == 1


async def test_a_json_column_jsonb_would_refuse_does_not_stop_the_writer(gateway_engine: AsyncEngine) -> None:
    await execute(gateway_engine, r"""ALTER TABLE bookings ADD COLUMN note json DEFAULT '"\u0000"'""")
    await book(gateway_engine)
    await execute(gateway_engine, "UPDATE bookings SET status = 'PAID'")

    assert [op for op, _, _ in await changes(gateway_engine)] == ["I", "U"]


async def test_dropping_our_column_does_not_stop_the_writer(gateway_engine: AsyncEngine) -> None:
    await book(gateway_engine)
    await execute(gateway_engine, "ALTER TABLE bookings DROP COLUMN user_id")
    await execute(gateway_engine, "UPDATE bookings SET status = 'PAID'")

    assert [op for op, _, _ in await changes(gateway_engine)] == ["I", "U"]


async def test_installing_again_changes_nothing_and_mends_what_is_missing(gateway_engine: AsyncEngine) -> None:
    assert await install(gateway_engine, "bookings", DEFAULT_LAYOUT) == []
    await execute(gateway_engine, "ALTER TABLE bookings DISABLE TRIGGER USER")
    assert await install(gateway_engine, "bookings", DEFAULT_LAYOUT) == ["row trigger", "truncate trigger"]
    await book(gateway_engine)

    assert len(await changes(gateway_engine)) == 1


async def test_installing_again_needs_no_lock_on_a_busy_table(gateway_engine: AsyncEngine) -> None:
    async with gateway_engine.begin() as busy:
        await busy.execute(text("LOCK TABLE bookings IN ROW EXCLUSIVE MODE"))

        assert await install(gateway_engine, "bookings", DEFAULT_LAYOUT) == []


async def test_installing_gives_way_and_finishes_when_the_table_is_free(gateway_engine: AsyncEngine) -> None:
    await execute(gateway_engine, "DROP TRIGGER gateway_capture_booking_change ON bookings")
    async with gateway_engine.begin() as busy:
        await insert_booking(busy)
        installing = asyncio.create_task(install(gateway_engine, "bookings", DEFAULT_LAYOUT))
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = CAST('bookings' AS regclass)"
        await eventually(lambda: fetch(gateway_engine, waits))
        await eventually(lambda: _nobody_waits(gateway_engine, waits))

    assert await installing == ["row trigger"]


async def _nobody_waits(engine: AsyncEngine, waits: str) -> bool:
    return not await fetch(engine, waits)


async def test_a_missing_table_is_said_with_the_way_out(gateway_engine: AsyncEngine) -> None:
    with pytest.raises(LegacyTableMissing, match="BOOKINGS_GATEWAY_LEGACY_TABLE"):
        await install(gateway_engine, "reservations", DEFAULT_LAYOUT)


async def test_a_table_of_another_layout_is_refused_by_name_of_the_missing_column(gateway_engine: AsyncEngine) -> None:
    await execute(gateway_engine, """ALTER TABLE bookings RENAME COLUMN "finalAmount" TO finalamount""")

    with pytest.raises(LegacyTableUnfit, match="has no column finalAmount"):
        await install(gateway_engine, "bookings", DEFAULT_LAYOUT)


async def test_truncate_is_captured_row_by_row(gateway_engine: AsyncEngine) -> None:
    ids = {await book(gateway_engine), await book(gateway_engine)}
    await execute(gateway_engine, "DELETE FROM booking_change")
    await execute(gateway_engine, "TRUNCATE bookings")

    assert {(op, id_) for op, id_, _ in await changes(gateway_engine)} == {("D", id_) for id_ in ids}


async def test_a_truncate_that_is_rolled_back_leaves_nothing(gateway_engine: AsyncEngine) -> None:
    await book(gateway_engine)
    await execute(gateway_engine, "DELETE FROM booking_change")
    async with gateway_engine.connect() as connection:
        await connection.execute(text("TRUNCATE bookings"))
        await connection.rollback()

    assert await changes(gateway_engine) == []


_INDEX = """
    SELECT indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = CAST('bookings' AS regclass) AND c.relname = 'gateway_bookings_by_user'
"""


async def test_the_index_of_users_is_there_before_the_data(gateway_engine: AsyncEngine) -> None:
    assert await fetch(gateway_engine, _INDEX) == [(True,)]
    assert await install(gateway_engine, "bookings", DEFAULT_LAYOUT) == []


async def test_an_index_whose_building_broke_off_is_built_again(gateway_engine: AsyncEngine) -> None:
    await execute(gateway_engine, "DROP INDEX gateway_bookings_by_user")
    for _ in range(2):
        await book(gateway_engine)
    await execute(gateway_engine, "UPDATE bookings SET user_id = '00000000-0000-4000-8000-000000000001'")
    async with gateway_engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        with pytest.raises(IntegrityError):  # two bookings of one user
            await connection.execute(
                text("CREATE UNIQUE INDEX CONCURRENTLY gateway_bookings_by_user ON bookings (user_id)")
            )
    assert await fetch(gateway_engine, _INDEX) == [(False,)]

    assert await install(gateway_engine, "bookings", DEFAULT_LAYOUT) == ["index on user_id"]

    assert await fetch(gateway_engine, _INDEX) == [(True,)]
