"""Whatever stood in the legacy table comes to what plain Python computes of it: people, links, payments, totals."""

from collections import Counter

import pytest

from bookings_gateway.history.counts import Counts
from bookings_gateway.layouts import PRESETS
from support.came_to import assert_came_to
from support.databases import Databases
from support.history import moving
from support.legacy_due import due
from support.legacy_generations import LAYOUTS
from support.legacy_history import PLANTED, facts


@pytest.mark.parametrize("layout", PRESETS)
async def test_a_table_with_every_trap_comes_to_what_plain_python_computes(databases: Databases, layout: str) -> None:
    bookings = facts(400, seed=11, integer_ids=LAYOUTS[layout].integer_ids)
    wanted = due(LAYOUTS[layout], bookings)
    async with moving(databases, layout, bookings) as moved:
        before = await moved.checksum()
        predicted = await moved.history.predict()
        assert await moved.value("bookings-gateway", "SELECT count(*) FROM event_log") == 0

        assert await moved.import_all() == len(bookings)
        await moved.settle()

        assert predicted.counts == await moved.history.counts()
        assert {item.booking_id for item in predicted.set_aside} == wanted.set_aside
        assert predicted.users == wanted.users
        assert predicted.counts.placeholders == wanted.placeholders
        assert predicted.counts.classes == wanted.classes
        money: Counter[tuple[str, str]] = Counter()
        for (class_, _, month), sums in predicted.counts.money.items():
            money[class_, month] += int(sums.amount * 100)
        assert money == Counter(wanted.money)
        await assert_came_to(moved.rows, wanted)
        assert await moved.checksum() == before
        assert isinstance(await moved.history.counts(), Counts)


async def test_nothing_planted_beside_a_booking_leaves_the_table(databases: Databases) -> None:
    async with moving(databases, "default", facts(60, seed=3)) as moved:
        await moved.import_all()
        await moved.settle()

        for service, schema in {
            "bookings-gateway": "gateway",
            "users": "public",
            "payments": "public",
            "stats": "public",
        }.items():
            tables = await moved.rows(
                service, "SELECT tablename FROM pg_tables WHERE schemaname = :schema", schema=schema
            )
            for table in (row["tablename"] for row in tables):
                query = f"SELECT count(*) FROM {schema}.{table} t WHERE CAST(t AS text) LIKE :planted"  # noqa: S608
                assert await moved.value(service, query, planted=f"%{PLANTED}%") == 0, table
