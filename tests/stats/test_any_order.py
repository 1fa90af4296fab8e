"""Any order and any number of deliveries of one history give one set of totals, equal to a plain fold."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.events import Event
from stats.handlers import JournalHandler
from support.apply import apply
from support.events import booking, linked, payment, registered

ANN = "0190a000-0000-7000-8000-00000000000a"
BOB = "0190a000-0000-7000-8000-00000000000b"
CYD = "0190a000-0000-7000-8000-00000000000c"  # linked to once, never registered

HISTORY = [
    registered(ANN),
    registered(BOB),
    booking("b1", 1, amount="67.50"),
    booking("b1", 2, amount="70"),
    booking("b2", 1, amount="100.00", created_at="2025-06-01T10:00:00Z"),
    booking("b3", 1, amount=None),
    booking("b3", 2, amount="5.00", deleted=True),
    linked("b1", ANN, 1),
    linked("b1", BOB, 2),
    linked("b2", BOB, 1),
    linked("b3", ANN, 1),
    linked("b4", ANN, 1),
    linked("b4", CYD, 2),
    booking("b4", 1),
    booking("b4", 2, deleted=True),
    payment("p1", None, 1),
    payment("p1", "b1", 2),
    payment("p1", "b1", 3, refunded=1000),
    payment("p2", "b2", 1, received=10000),
]

STATE = text(
    """
    SELECT json_build_object(
        'totals', (SELECT json_agg(json_build_array(user_id, total_bookings, currencies, first_booking_date,
                                                    last_booking_date, last_activity_date) ORDER BY user_id)
                   FROM announced_totals),
        'activity', (SELECT json_agg(json_build_array(event_id, user_id, kind) ORDER BY event_id)
                     FROM generation_1.activity))
    """
)
TABLES = "booking_fact", "payment_fact", "merge_fact", "currency_totals", "activity"
WIPE = text(f"TRUNCATE journal, event_log, outbox, announced_totals, {', '.join(f'generation_1.{t}' for t in TABLES)}")


async def state_after(engine: AsyncEngine, events: list[Event], group: int) -> Any:
    async with engine.begin() as connection:
        await connection.execute(WIPE)
    await apply(engine, JournalHandler("/stats"), events, group=group)
    async with engine.connect() as connection:
        return (await connection.execute(STATE)).scalar_one()


def folded(events: list[Event]) -> dict[str, tuple[int, Decimal, Decimal, Decimal]]:
    """The same totals by a plain loop over the newest version of everything."""
    newest: dict[tuple[str, str], Event] = {}
    for event in sorted(events, key=lambda event: event.sequence):
        newest[event.type.split(".")[0] + event.type.partition("linked")[1], event.subject] = event
    owner = {key[1]: event.data["user_id"] for key, event in newest.items() if key[0] == "userlinked"}
    totals: dict[str, list[Any]] = defaultdict(lambda: [0, Decimal(0), Decimal(0), Decimal(0)])
    for (kind, subject), event in newest.items():
        if kind == "booking" and event.type != "booking.deleted":
            totals[owner[subject]][0] += 1
            totals[owner[subject]][1] += Decimal(event.data["final_amount"] or 0)
        if kind == "payment":
            totals[owner[event.data["booking_id"]]][2] += Decimal(event.data["received"]) / 100
            totals[owner[event.data["booking_id"]]][3] += Decimal(event.data["refunded"]) / 100
    return {user: tuple(values) for user, values in totals.items()}


async def test_totals_equal_a_plain_fold_of_the_newest_versions(stats_engine: AsyncEngine) -> None:
    state = await state_after(stats_engine, HISTORY, 500)

    projected = {
        user: (
            bookings,
            *(sum(Decimal(c[key]) for c in currencies) for key in ("total_spent", "total_paid", "total_refunded")),
        )
        for user, bookings, currencies, *_ in state["totals"]
    }
    assert projected == {ANN: (0, 0, 0, 0), CYD: (0, 0, 0, 0), **folded(HISTORY)}
    assert projected[BOB] == (2, Decimal("170"), Decimal("167.50"), Decimal("10"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(HISTORY), again=st.lists(st.sampled_from(HISTORY), max_size=6), group=st.integers(1, 16))
async def test_any_order_and_repetition_of_events_gives_the_same_totals(
    stats_engine: AsyncEngine, order: list[Event], again: list[Event], group: int
) -> None:
    expected = await state_after(stats_engine, HISTORY, 500)

    assert await state_after(stats_engine, order + again, group) == expected
