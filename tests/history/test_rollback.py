"""The way back, from every stage: the table as it was, nothing counted any more, and a second import like a first."""

import pytest

from bookings_gateway.history.errors import NotReady
from bookings_gateway.history.rollback import Rollback
from support.came_to import assert_came_to
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_due import due
from support.legacy_generations import LAYOUTS
from support.legacy_history import facts
from support.legacy_table import execute

STANDING = """
    SELECT CAST(user_id AS text) AS user_id, total_bookings, CAST(currencies AS text) AS currencies
    FROM announced_totals WHERE total_bookings > 0 ORDER BY user_id
"""
STAGES = ("first chunk", "imported", "on its way", "nearly there", "settled")
TOTALS = "SELECT coalesce(sum(total_bookings), 0) AS bookings FROM announced_totals"
PAID = "SELECT count(*) FROM payment WHERE status IN ('succeeded', 'pending')"
LINKED = "SELECT count(*) FROM public.bookings WHERE user_id IS NOT NULL"


async def reach(moved: Moved, stage: str) -> None:
    """Bring the move so far: the process dies after its first chunk, or events are stopped on their way."""
    if stage == "first chunk":
        importer = await moved.begin()
        importer.rows = 40
        await anext(importer.chunks())
        await moved.rows("bookings-gateway", "UPDATE import_run SET heartbeat_at = now() - interval '1 hour'")
        return
    await moved.import_all()
    match stage:
        case "on its way":
            await moved.pump.run(rounds=1, page=60)
        case "nearly there":
            await moved.pump.run(rounds=4, page=60)
        case "settled":
            await moved.settle()


@pytest.mark.parametrize("stage", STAGES)
async def test_after_a_rollback_the_table_is_as_before_and_a_second_import_succeeds(
    databases: Databases, stage: str
) -> None:
    bookings = facts(150, seed=21)
    async with moving(databases, "default", bookings) as moved:
        before = await moved.checksum()
        await reach(moved, stage)

        await moved.take_back()
        await moved.settle()

        assert await moved.checksum() == before
        assert await moved.value("bookings-gateway", LINKED) == 0
        assert await moved.value("stats", TOTALS) == 0
        assert await moved.value("payments", PAID) == 0

        assert await moved.import_all() == len(bookings)
        await moved.settle()
        await assert_came_to(moved.rows, due(LAYOUTS["default"], bookings))


async def test_a_link_that_arrives_after_its_booking_was_taken_back_is_let_go(databases: Databases) -> None:
    async with moving(databases, "default", facts(60, seed=22)) as moved:
        await moved.import_all()
        gateway = moved.pump.handlers.pop("bookings-gateway")
        await moved.pump.run()
        await moved.take_back()
        moved.pump.handlers["bookings-gateway"] = gateway
        await moved.rows(
            "users", "INSERT INTO outbox (seq, part, bulk) SELECT seq, 0, true FROM event_log ON CONFLICT DO NOTHING"
        )
        await moved.settle()

        assert await moved.value("bookings-gateway", LINKED) == 0


async def test_what_was_changed_since_is_kept_and_listed(databases: Databases) -> None:
    async with moving(databases, "default", facts(60, seed=23)) as moved:
        await moved.import_all()
        await moved.settle()
        one = "SELECT id FROM bookings WHERE user_id IS NOT NULL AND status = 'CANCELLED' LIMIT 1"
        change = f"UPDATE bookings SET status = 'NO_SHOW' WHERE id = ({one})"  # noqa: S608
        await execute(moved.gateway, change)
        before = await moved.checksum()

        outlook = await moved.outlook()
        taken = await moved.take_back()
        await moved.settle()

        assert (outlook.reversible, outlook.changed_since) == (taken, 1)
        assert await moved.checksum() == before
        assert await moved.value("bookings-gateway", LINKED) == 1
        assert await moved.value("stats", TOTALS) == 1


async def test_a_booking_told_live_before_the_import_is_after_the_rollback_as_it_was(databases: Databases) -> None:
    touch = 'UPDATE bookings SET "updatedAt" = now() WHERE "paymentDate" IS NOT NULL'
    async with moving(databases, "default", facts(60, seed=24)) as moved:
        await execute(moved.gateway, touch)
        await moved.settle()
        before = await moved.rows("stats", STANDING)
        linked = await moved.value("bookings-gateway", LINKED)

        await moved.import_all()
        await moved.settle()
        await moved.take_back()
        await moved.settle()

        assert linked > 0
        assert await moved.value("bookings-gateway", LINKED) == linked
        assert await moved.rows("stats", STANDING) == before
        assert await moved.value("payments", PAID) == 0


async def test_an_import_over_a_half_done_rollback_is_refused_and_comes_right_after_it(databases: Databases) -> None:
    bookings = facts(60, seed=25)
    async with moving(databases, "default", bookings) as moved:
        await moved.import_all()
        await anext(Rollback(moved.gateway, moved.capture, "/bookings-gateway").take_back())
        await moved.rows("bookings-gateway", "UPDATE import_run SET heartbeat_at = now() - interval '1 hour'")

        with pytest.raises(NotReady, match="history rollback --apply"):
            await moved.import_all()

        await moved.take_back()
        assert (await moved.history.status()).counted.left == len(bookings)
        assert await moved.import_all() == len(bookings)
        await moved.settle()
        await assert_came_to(moved.rows, due(LAYOUTS["default"], bookings))


async def test_a_booking_set_aside_and_told_live_keeps_its_link_in_a_rollback(databases: Databases) -> None:
    bookings = facts(60, seed=26)
    async with moving(databases, "default", bookings) as moved:
        await moved.import_all()
        await moved.settle()
        (waiting, *_) = due(LAYOUTS["default"], bookings).set_aside
        now = 'UPDATE bookings SET "createdAt" = now(), "contactDetails" = \'{}\' WHERE CAST(id AS text) = :id'
        await moved.rows("bookings-gateway", now, id=waiting)
        await moved.settle()

        await moved.take_back()
        await moved.settle()

        assert await moved.value("bookings-gateway", LINKED) == 1
