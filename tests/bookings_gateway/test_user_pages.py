"""Any page in any order is that of all users sorted, whatever happened to them since their places were counted."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway import anchors
from bookings_gateway.customers import SORTS, Wanted, find
from bookings_gateway.handlers import ReadModelHandler
from shared.consumer import Group
from shared.events import Event
from support.admin import erased, person, take_in, totals, user_id
from support.events import EPOCH, merged
from support.legacy_table import execute, fetch

NAMES = [f"{first} {last}" for first in ("Ann", "Bob", "Cleo", "Dan", "Eve", "Fay") for last in ("Lee", "Orr", "Ash")]
SHOWN = {"email": "email", "firstBookingDate": "first_booking_date", "lastBookingDate": "last_booking_date",
         "lastActivityDate": "last_activity_date"}  # fmt: skip
EMPTY = "TRUNCATE customer, customer_count, customer_anchor, customer_moved, search_word, search_word_unsure, inbox"
COUNT = "count"


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anchors so near each other that two dozen users have some."""
    monkeypatch.setattr(anchors, "APART", 3)
    monkeypatch.setattr(anchors, "FEW_USERS", 3)
    monkeypatch.setattr(anchors, "FEW_MOVED", 12)


def change(sequence: int, what: str, name: str, value: int) -> Event:
    """Return something that happens to a user; there are few values, so that many share one."""
    day = (EPOCH + timedelta(days=value)).isoformat()
    return {
        "renamed": lambda: person(name, sequence, last_name=f"Lee{value}", phone=["01", None, "02"][value]),
        "unnamed": lambda: person(name, sequence, first_name=None, email=None, company_name="Firm"),
        "totals": lambda: totals(name, sequence, bookings=value, spent=f"{value}.50", last_activity_date=day),
        "merged": lambda: merged(user_id(name), user_id(NAMES[value]), sequence),
        "unmerged": lambda: merged(user_id(name), None, sequence),
        "erased": lambda: erased(name),
    }[what]()


CHANGES = st.tuples(
    st.sampled_from(["renamed", "unnamed", "totals", "totals", "merged", "unmerged", "erased"]),
    st.sampled_from(NAMES),
    st.integers(0, 2),
)


async def everybody(engine: AsyncEngine, sort: str) -> list[UUID]:
    """Return the ids of all who are listed, sorted by Python."""
    async with engine.connect() as connection:
        rows = (await connection.execute(text("SELECT * FROM customer WHERE listed"))).mappings().all()
    column = SHOWN.get(sort, SORTS[sort])
    return [
        row["user_id"] for row in sorted(rows, key=lambda row: (row[column] is not None, row[column], row["user_id"]))
    ]


async def assert_every_page(engine: AsyncEngine, sort: str) -> None:
    expected = await everybody(engine, sort)
    for descending in (False, True):
        shown = expected[::-1] if descending else expected
        for offset in range(len(expected) + 1):
            page = await find(engine, Wanted(sort=sort, descending=descending), limit=2, offset=offset)
            assert [row["user_id"] for row in page.rows] == shown[offset : offset + 2]
            assert page.total == len(expected)


async def counted(engine: AsyncEngine, events: Sequence[Event] = ()) -> None:
    """Start anew: everybody is there and in their places."""
    await execute(engine, EMPTY)
    await take_in(engine, [*(person(name) for name in NAMES), *events])
    await anchors.count_again(engine, SORTS.values())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(CHANGES | st.just(COUNT), max_size=14), sort=st.sampled_from(list(SORTS)))
async def test_every_page_is_that_of_all_users_sorted(gateway_engine: AsyncEngine, steps: list[Any], sort: str) -> None:
    await counted(gateway_engine)
    for number, step in enumerate(steps):
        if step == COUNT:
            await anchors.count_again(gateway_engine, SORTS.values())
        else:
            await take_in(gateway_engine, [change(number + 2, *step)])

    await assert_every_page(gateway_engine, sort)


@pytest.mark.parametrize("sort", SORTS)
async def test_an_anchor_stands_where_it_says_after_others_moved(gateway_engine: AsyncEngine, sort: str) -> None:
    await counted(gateway_engine, [totals(name, bookings=n % 3) for n, name in enumerate(NAMES[::2])])
    await take_in(gateway_engine, [person("Abe Aa"), totals("Fay Ash", 2, bookings=0, spent="0"), erased("Cleo Lee")])

    expected = await everybody(gateway_engine, sort)
    found = []
    async with gateway_engine.connect() as connection:
        for place in range(len(expected)):
            anchor = await anchors.last_before(connection, SORTS[sort], place)
            if anchor:
                assert expected[anchor.before] == anchor.user_id
                assert anchor.before <= place
                found.append(anchor)
    assert len({anchor.user_id for anchor in found}) > 2


async def test_a_change_that_commits_after_the_counting_began_is_neither_lost_nor_counted_twice(
    gateway_engine: AsyncEngine,
) -> None:
    await counted(gateway_engine)
    async with gateway_engine.begin() as writer:
        renamed = [person(name, 2, first_name="Zoe") for name in NAMES[:6]]
        await ReadModelHandler("GBP").apply(writer, Group(renamed))
        await take_in(gateway_engine, [totals(name, bookings=2) for name in NAMES[6:]])
        await anchors.count_again(gateway_engine, SORTS.values())

    for sort in ("name", "firstName", "totalBookings"):
        await assert_every_page(gateway_engine, sort)


async def test_pages_are_right_when_a_crash_took_the_places(gateway_engine: AsyncEngine) -> None:
    await counted(gateway_engine)
    await execute(gateway_engine, "TRUNCATE customer_anchor, customer_moved")

    await assert_every_page(gateway_engine, "name")
    await anchors.count_again(gateway_engine, SORTS.values())
    await assert_every_page(gateway_engine, "name")


async def test_what_was_counted_is_cleared_away_for_pages_go_through_it(gateway_engine: AsyncEngine) -> None:
    await counted(gateway_engine)

    size = await fetch(gateway_engine, "SELECT pg_relation_size('customer_moved')")

    assert size == [(0,)]
