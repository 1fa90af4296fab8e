"""Letters about erased people are emptied, whatever is left of them to read."""

from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from stats.handlers import JournalHandler
from stats.service.forget_letters import forget_letters
from support.apply import apply
from support.events import booking, erased, linked, registered
from support.letters import cut_off, kept, set_aside

ANN, BOB = str(uuid4()), str(uuid4())


async def test_letters_about_erased_people_and_their_bookings_go(stats_engine: AsyncEngine) -> None:
    told = [booking("b1"), linked("b1", ANN), booking("b2"), linked("b2", BOB)]
    await apply(stats_engine, JournalHandler("/stats"), told)
    anns = [(booking("b1", 2).encode(), "b1"), (registered(ANN).encode(), ANN), (cut_off(booking("b1", 2)), None)]
    for body, subject in [*anns, (cut_off(registered(ANN)), None)]:
        await set_aside(stats_engine, body, subject=subject)
    bobs = {
        await set_aside(stats_engine, booking("b2", 2).encode(), subject="b2"),
        await set_aside(stats_engine, cut_off(booking("b2", 2))),
        await set_aside(stats_engine, b"b1, it says"),
    }
    assert await forget_letters(stats_engine) == 0

    await apply(stats_engine, JournalHandler("/stats"), [erased(ANN)])
    assert await forget_letters(stats_engine) == 4
    assert await forget_letters(stats_engine) == 0
    assert await kept(stats_engine) == bobs
