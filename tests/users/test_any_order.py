"""Any order and any number of deliveries of one history give one state."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.events import Event
from support.apply import apply
from support.events import booking
from users.handlers import BookingsHandler

HISTORY = [
    booking("b1", 1, email="Ann@Example.com"),
    booking("b1", 2, email="ann@example.com ", contact={"phone": "0123"}),
    booking("b1", 3, email="bob@example.com", contact={"first_name": "Bob"}),
    booking("b2", 1, email="bob@example.com", contact={"first_name": "Robert", "company": "Acme"}),
    booking("b2", 2, email="bob@example.com", deleted=True),
    booking("b3", 1, email=None),
    booking("b3", 2, email="ann@example.com", contact={"phone": "999"}),
    booking("b4", 1, email="  "),
]

STATE = text(
    """
    SELECT json_build_object(
        'users', (SELECT json_agg(json_build_array(identity, first_name, last_name, phone, company_name, created_at)
                                  ORDER BY identity) FROM users),
        'variants', (SELECT json_agg(json_build_array(identity, v.first_name, v.email_written, v.phone, v.company,
                                                      first_seen_at, last_seen_at)
                            ORDER BY identity, v.first_name, v.email_written, v.phone, v.company)
                     FROM contact_variant v JOIN users u ON u.id = v.user_id),
        'links', (SELECT json_agg(json_build_array(booking_id, identity, booking_sequence) ORDER BY booking_id)
                  FROM booking_link l JOIN users u ON u.id = l.user_id))
    """
)


async def state_after(engine: AsyncEngine, events: list[Event], group: int) -> Any:
    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE users, contact_variant, booking_link, inbox, event_log, outbox CASCADE"))
    await apply(engine, BookingsHandler("/users", phone_region="GB"), events, group=group)
    async with engine.connect() as connection:
        return (await connection.execute(STATE)).scalar_one()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(HISTORY), again=st.lists(st.sampled_from(HISTORY), max_size=6), group=st.integers(1, 9))
async def test_any_order_and_repetition_of_bookings_gives_the_same_people(
    users_engine: AsyncEngine, order: list[Event], again: list[Event], group: int
) -> None:
    expected = await state_after(users_engine, HISTORY, 500)

    assert await state_after(users_engine, order + again, group) == expected
