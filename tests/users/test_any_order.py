"""Any order and any number of deliveries of one history give one state, with merges and an erasure in between."""

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from shared.events import Event
from support.events import booking
from support.people import People

AHEAD = "2199-01-01T00:00:00Z"
FIRST = [
    booking("b1", 1, email="Ann@Example.com"),
    booking("b2", 1, email="bob@example.com", contact={"first_name": "Robert", "company": "Acme"}),
    booking("e1", 1, email="Eve@example.com", contact={"first_name": "Eve", "last_name": "Moss"}),
    booking("e4", 1, email="eve@example.com", created_at=AHEAD),
]
HISTORY = [
    booking("b1", 2, email="ann@example.com ", contact={"phone": "0123"}),
    booking("b1", 3, email="bob@example.com", contact={"first_name": "Bob"}),
    booking("b2", 2, email="bob@example.com", deleted=True),
    booking("b3", 1, email=None),
    booking("b3", 2, email="ann@example.com", contact={"phone": "999"}),
    booking("b4", 1, email="  "),
    booking("e1", 2, email="eve@example.com", contact={"first_name": "Eve", "phone": "0777"}),
    booking("e2", 1, email=None, contact={"first_name": "Eve", "last_name": "Moss"}),
    booking("e2", 2, email="EVE@example.com", contact={"first_name": "Eve"}),
    booking("e3", 1, email="eve@example.com"),
    booking("e4", 2, email="eve@example.com", created_at=AHEAD),
    booking("e4", 3, email="eve@example.com", created_at=AHEAD, contact={"phone": "0777"}),
    booking("e5", 1, email="eve@example.com", created_at=None),
    booking("e5", 2, email="eve@example.com", created_at=None, contact={"phone": "0777"}),
]
REDACTED = {"first_name": None, "last_name": None}
AFTER_ERASURE = [
    booking("e1", 3, email=None, contact=REDACTED),
    booking("e2", 3, email=None, contact=REDACTED),
    booking("n1", 1, email="eve@example.com", created_at=AHEAD),
]
DECISIONS = ("merge", "unmerge", "merge", "erase")

# An erased person's id is new in every run. An erased placeholder is left out: whether there ever was one is all that
# depends on the order, and nobody sees it.
STATE = text(
    """
    WITH person AS (
        SELECT u.*, regexp_replace(identity, '^erased:.*', 'erased') AS key FROM users u
        WHERE erased_at IS NULL OR identity LIKE 'erased:%'
    )
    SELECT json_build_object(
        'users', (SELECT json_agg(json_build_array(p.key, p.first_name, p.last_name, p.phone, p.company_name,
                                                   p.created_at, p.erased_at IS NOT NULL, t.key) ORDER BY p.key)
                  FROM person p LEFT JOIN person t ON t.id = p.merged_into),
        'variants', (SELECT json_agg(json_build_array(key, v.first_name, v.email_written, v.phone, v.company,
                                                      first_seen_at, last_seen_at)
                            ORDER BY key, v.first_name, v.email_written, v.phone, v.company)
                     FROM contact_variant v JOIN person u ON u.id = v.user_id),
        'links', (SELECT json_agg(json_build_array(booking_id, key, booking_sequence) ORDER BY booking_id)
                  FROM booking_link l LEFT JOIN person u ON u.id = l.user_id))
    """
)


async def state_after(people: People, steps: Sequence[Event | str], group: int) -> Any:
    """Apply events in groups, and decisions where they stand among them."""
    await people.empty()
    waiting: list[Event] = []
    await people.learn(*FIRST)
    ids = {name: await people.id_of(f"{name}@example.com") for name in ("ann", "bob", "eve")}
    for step in [*steps, "end"]:
        if isinstance(step, Event):
            waiting.append(step)
            continue
        await people.learn(*waiting, group=group)
        waiting.clear()
        if step == "erase":
            await people.erase(ids["eve"])
        elif step != "end":
            await (people.merge(ids["bob"], ids["ann"]) if step == "merge" else people.unmerge(ids["bob"]))
    async with people.engine.connect() as connection:
        return (await connection.execute(STATE)).scalar_one()


@st.composite
def histories(draw: st.DrawFn) -> list[Event | str]:
    """Any order and repetition of the history, decisions anywhere; what an erasure leads to stands after it."""
    again = draw(st.lists(st.sampled_from(HISTORY + FIRST), max_size=6))
    steps: list[Event | str] = [*draw(st.permutations(HISTORY)), *again]
    place = 0
    for decision in DECISIONS:
        place = draw(st.integers(place, len(steps)))
        steps.insert(place, decision)
        place += 1
    for event in draw(st.permutations(AFTER_ERASURE)):
        steps.insert(draw(st.integers(place, len(steps))), event)
    return steps


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=histories(), group=st.integers(1, 9))
async def test_any_order_and_repetition_of_bookings_gives_the_same_people(
    people: People, steps: list[Event | str], group: int
) -> None:
    expected = await state_after(people, [*HISTORY, *DECISIONS, *AFTER_ERASURE], 500)

    assert await state_after(people, steps, group) == expected
    owners = {booking_id: owner for booking_id, owner, _ in expected["links"]}
    assert [owners[each] for each in ("e1", "e2", "e3", "e4", "e5", "n1")] == ["erased"] * 5 + ["eve@example.com"]
