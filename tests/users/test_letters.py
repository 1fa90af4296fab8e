"""Letters about erased people that come after the erasure are emptied, whatever is left of them to read."""

from uuid import UUID

import pytest

from support.events import booking
from support.letters import cut_off, kept, set_aside
from support.people import People
from users.service.forget_letters import forget_letters

ANN = "ann@example.com"
AFTER = "2100-01-01T00:00:00Z"


@pytest.fixture
async def erased(people: People) -> UUID:
    """Ann, who had the booking b1 and is erased; b2 is somebody else's."""
    await people.learn(booking("b1", email=ANN), booking("b2", email="bob@example.com"))
    id_ = await people.id_of(ANN)
    await people.erase(id_)
    return id_


@pytest.mark.usefixtures("erased")
async def test_letters_about_their_bookings_and_with_their_address_go(people: People) -> None:
    engine = people.engine
    unlinked = booking("b9", email=ANN, created_at="2020-01-01T00:00:00Z")
    for body, subject in (
        (b"anything", "b1"),
        (unlinked.encode(), "b9"),
        (booking("b8", email=ANN, created_at=None).encode(), "b8"),
        (cut_off(booking("b1", 2, email="new@example.com")), None),
        (cut_off(unlinked), None),
        (b"\xff no event, but of Ann@Example.COM, it seems", None),
    ):
        await set_aside(engine, body, subject=subject)
    bobs = [
        await set_aside(engine, booking("b2", 2, email="bob@example.com").encode(), subject="b2"),
        await set_aside(engine, cut_off(booking("b2", 2, email="bob@example.com"))),
        await set_aside(engine, booking("b10", email=ANN, created_at=AFTER).encode(), subject="b10"),
        await set_aside(engine, b"b1"),
    ]

    await forget_letters(engine)
    assert await kept(engine) == set(bobs)


@pytest.mark.usefixtures("erased")
async def test_addresses_are_looked_for_once_and_links_whenever_they_come(people: People) -> None:
    engine = people.engine
    early = await set_aside(engine, cut_off(booking("b3", email=None, contact={"last_name": "Lee"})))
    looked_at = await forget_letters(engine)
    assert (looked_at, await kept(engine)) == (early, {early})
    assert await forget_letters(engine, looked_at) == early

    await people.learn(booking("b3", 2, email=ANN, created_at="2020-01-01T00:00:00Z"))
    await forget_letters(engine, looked_at)
    assert await kept(engine) == set()


async def test_erasing_empties_what_is_there(people: People) -> None:
    await people.learn(booking("b1", email=ANN))
    for body in (cut_off(booking("b1", 2, email=None)), b"\xff of ANN@example.com"):
        await set_aside(people.engine, body)
    other = await set_aside(people.engine, b"\xff of bob@example.com")

    await people.erase(await people.id_of(ANN))
    assert await kept(people.engine) == {other}
