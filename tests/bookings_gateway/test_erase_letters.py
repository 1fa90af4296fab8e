"""Dead letters that name an erased person go, be they batches or unreadable."""

from sqlalchemy.ext.asyncio import AsyncEngine

from support.admin import Admin, erased, person, user_id
from support.erasing import ANN, BOB, PHONE, SECRET, Erasing, booked
from support.events import booking, linked
from support.legacy_table import execute, fetch
from support.letters import cut_off, kept, set_aside


async def test_a_batch_among_the_dead_letters_goes_with_whoever_is_in_it(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))
    others = b"[" + person(BOB).encode() + b"]"
    for body in (person(ANN).encode(), booking(id_, 9, contact={"last_name": SECRET}).encode(), b'"\xff'):
        await dead_batch(erasing.engine, b"[" + body + b"," + person(BOB).encode() + b"]")
    await dead_batch(erasing.engine, others)

    await erasing.erase()
    await erasing.capture()
    await erasing.erase()
    bodies = await fetch(erasing.engine, "SELECT body FROM dead_letter WHERE body <> '' ORDER BY id")
    assert len(bodies) == 2
    assert bodies[-1][0] == others
    assert await erasing.traces(SECRET, PHONE) == []


async def test_a_letter_nobody_can_read_goes_with_whom_it_names(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))
    for event in (person(ANN), booking(id_, 9, contact={"last_name": SECRET})):
        await set_aside(erasing.engine, cut_off(event))
    bobs = await set_aside(erasing.engine, cut_off(person(BOB)))

    await erasing.erase()
    await erasing.capture()
    await erasing.erase()
    assert await kept(erasing.engine) == {bobs}


async def dead_batch(engine: AsyncEngine, body: bytes) -> None:
    await execute(
        engine,
        """
        INSERT INTO dead_letter (content_type, body, reason, attempts, first_failed_at, last_failed_at)
        VALUES ('application/cloudevents-batch+json', :body, 'tried', 5, now(), now())
        """,
        body=body,
    )
