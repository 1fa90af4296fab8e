"""Any order and any number of deliveries of one history give one read model."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.handlers import ReadModelHandler
from shared.events import Event
from support.apply import apply
from support.events import EPOCH, booking, event, linked, merged, payment, registered

ANN, BOB = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
CLEO, DAN = "00000000-0000-4000-8000-00000000000c", "00000000-0000-4000-8000-00000000000d"


def totals(user_id: str, sequence: int, *sums: tuple[str, str]) -> Event:
    """Return a user's totals; ``sums`` are (currency, total spent)."""
    currencies = [
        {"currency": currency, "total_spent": spent, "total_paid": "0", "total_refunded": "0"}
        for currency, spent in sums
    ]
    data = {"user_id": user_id, "total_bookings": sequence, "currencies": currencies, "last_activity_date": EPOCH}
    return event("user_totals.changed", user_id, sequence, data, source="/stats")


HISTORY = [
    registered(ANN),
    registered(ANN, 2),
    registered(BOB),
    linked("b1", ANN),
    linked("b1", BOB, 2),
    linked("b1", ANN, 3),
    linked("b2", BOB),
    totals(ANN, 1, ("GBP", "67.50")),
    totals(ANN, 2, ("EUR", "1.00"), ("GBP", "135.00")),
    totals(ANN, 3),
    totals(BOB, 1, ("GBP", "0.10"), ("JPY", "500")),
    merged(ANN, BOB),
    merged(ANN, None, 2),
    merged(ANN, CLEO, 3),
    merged(CLEO, BOB),
    merged(BOB, ANN),
    merged(BOB, None, 2),
    registered(DAN),
    registered(DAN, 2),
    totals(DAN, 1, ("GBP", "5.00")),
    event("user.erased", DAN, 3, {"user_id": DAN, "erased_at": EPOCH}, source="/users"),
    booking("b1"),
    booking("b1", 2, email="office@example.com"),
    booking("b2"),
    booking("b2", 2, deleted=True),
    payment("p1", None),
    payment("p1", "b1", 2),
    payment("p1", "b1", 3, refunded=1000),
    payment("p2", "b2"),
]

UNMERGED = [each for each in HISTORY if "merged" not in each.type]

STATE = text(
    """
    SELECT json_build_object(
        'customers', (SELECT json_agg(c ORDER BY user_id) FROM customer c),
        'listed', (SELECT json_agg(l) FROM (
            SELECT placeholder, has_bookings, sum(users) AS users FROM customer_count
            GROUP BY 1, 2 HAVING sum(users) > 0 ORDER BY 1, 2) l),
        'counted', (SELECT sum(payments) FROM payment_count),
        'links', (SELECT json_agg(l ORDER BY booking_id) FROM booking_user l),
        'bookings', (SELECT json_agg(b ORDER BY booking_id) FROM booking_summary b),
        'payments', (SELECT json_agg(p ORDER BY payment_id) FROM booking_payment p))
    """
)
EMPTY = text(
    """
    TRUNCATE customer, customer_count, customer_anchor, customer_moved, booking_user, booking_summary, booking_payment,
        payment_count, search_word, search_word_unsure, inbox
    """
)


async def state_after(engine: AsyncEngine, events: list[Event], group: int) -> Any:
    async with engine.begin() as connection:
        await connection.execute(EMPTY)
    await apply(engine, ReadModelHandler("GBP"), events, group=group)
    async with engine.connect() as connection:
        return (await connection.execute(STATE)).scalar_one()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(order=st.permutations(HISTORY), again=st.lists(st.sampled_from(HISTORY), max_size=6), group=st.integers(1, 16))
async def test_any_order_and_repetition_gives_the_same_read_model(
    gateway_engine: AsyncEngine, order: list[Event], again: list[Event], group: int
) -> None:
    expected = await state_after(gateway_engine, HISTORY, 500)

    assert await state_after(gateway_engine, order + again, group) == expected


async def test_the_newest_of_each_is_what_is_kept(gateway_engine: AsyncEngine) -> None:
    state = await state_after(gateway_engine, HISTORY, 500)

    assert [(link["booking_id"], link["user_id"]) for link in state["links"]] == [("b1", ANN), ("b2", BOB)]
    ann, bob, cleo, dan = state["customers"]
    assert [(each["total_bookings"], each["total_spent"]) for each in (ann, bob)] == [(3, 0), (1, 0.1)]
    assert [each["canonical_id"] for each in (ann, bob, cleo, dan)] == [BOB, None, BOB, None]
    assert (dan["email"], dan["search"], dan["total_spent"]) == (None, None, 5)
    assert state["listed"] == [{"placeholder": False, "has_bookings": True, "users": 1}]
    assert [(each["email"], each["deleted"]) for each in state["bookings"]] == [
        ("office@example.com", False),
        (None, True),
    ]
    assert [(paid["booking_id"], paid["refunded"]) for paid in state["payments"]] == [("b1", 1000), ("b2", 0)]


async def test_an_id_that_is_no_uuid_fails_alone_and_changes_nothing(gateway_engine: AsyncEngine) -> None:
    with pytest.raises(DBAPIError):
        await apply(gateway_engine, ReadModelHandler("GBP"), [linked("b1", "temp-123")])


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(order=st.permutations(UNMERGED), places=st.tuples(*[st.integers(0, len(UNMERGED))] * 4))
async def test_what_was_merged_and_unmerged_is_as_if_it_never_had_been(
    gateway_engine: AsyncEngine, order: list[Event], places: tuple[int, ...]
) -> None:
    """With everything else arriving before, between and after."""
    expected = await state_after(gateway_engine, order, 500)
    with_merges = list(order)
    for place, change in zip(
        sorted(places), [merged(ANN, BOB), merged(BOB, DAN), merged(ANN, None, 2), merged(BOB, None, 2)], strict=True
    ):
        with_merges.insert(place, change)

    state = await state_after(gateway_engine, with_merges, 3)

    for customer in (*expected["customers"], *state["customers"]):
        del customer["merge_sequence"]
    assert state == expected
