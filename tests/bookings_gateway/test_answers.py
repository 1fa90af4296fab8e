"""An answer kept is an answer that is still true, whoever writes, and however the writer's transaction ends."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.answers import Answers, Listing, snapshot
from bookings_gateway.listing import Filter
from bookings_gateway.service import Bookings
from support.legacy_gateway import bookings_of
from support.legacy_table import book, execute, fetch
from support.waiting import eventually

PAGES = [Filter(limit=2), Filter(limit=2, offset=1), Filter(limit=2, offset=9), Filter(search="ann", limit=1)]
QUESTIONS = [Filter(), Filter(search="ann"), Filter(status="PAID"), *PAGES]

CHANGES = {
    "a row": "UPDATE bookings SET status = 'PAID' WHERE \"bookingReference\" = 'one'",
    "a row gone": "DELETE FROM bookings WHERE \"bookingReference\" = 'one'",
    "all rows": "TRUNCATE bookings",
    "a link": "INSERT INTO booking_user SELECT CAST(id AS text), 1, CAST(id AS uuid), true FROM bookings",
    "a payment": """
        INSERT INTO booking_payment (payment_id, sequence, booking_id, status, currency, received, refunded, disputed,
            open_disputes, paid_at, migrated, amount, net, created_at, written)
        SELECT 'p', 1, CAST(id AS text), 'succeeded', 'GBP', 6750, 0, 0, 0, now(), false, 6750, 6750, now(), true
        FROM bookings WHERE "bookingReference" = 'one'
    """,
}


SNAPSHOT = "SELECT CAST(pg_current_snapshot() AS text)"


@pytest.fixture
async def bookings(gateway_engine: AsyncEngine) -> Bookings:
    for reference in ("one", "two", "three"):
        contact = {"firstName": "Ann", "email": f"{reference}@example.com"}
        await book(gateway_engine, bookingReference=reference, contactDetails=contact)
    return bookings_of(gateway_engine)


async def test_what_nobody_changed_is_not_asked_again(bookings: Bookings, gateway_engine: AsyncEngine) -> None:
    async def standing_still() -> bool:
        """Ask twice, and say whether nothing was committed meanwhile: PostgreSQL's own upkeep commits, too."""
        before = await fetch(gateway_engine, SNAPSHOT)
        first = [await bookings.find(question) for question in QUESTIONS]
        again = [await bookings.find(question) for question in QUESTIONS]
        if before != await fetch(gateway_engine, SNAPSHOT):
            return False
        assert all(one is other for one, other in zip(first, again, strict=True))
        return True

    await eventually(standing_still, what="a database that stands still")


async def test_a_page_beyond_the_last_booking_counts_them_all_the_same(bookings: Bookings) -> None:
    for beyond in (Filter(limit=2, offset=9), Filter(offset=9)):
        assert [await bookings.find(beyond) for _ in range(2)] == [Listing(b"[]", 3)] * 2


@pytest.mark.parametrize("change", CHANGES)
async def test_after_any_change_the_answer_is_the_one_a_new_process_gives(
    bookings: Bookings, gateway_engine: AsyncEngine, change: str
) -> None:
    for question in QUESTIONS:
        await bookings.find(question)
    await execute(gateway_engine, CHANGES[change])
    for question in QUESTIONS:
        assert await bookings.find(question) == await bookings_of(gateway_engine).find(question)


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_a_writer_still_at_work_is_seen_when_it_commits(
    bookings: Bookings, gateway_engine: AsyncEngine, end: str
) -> None:
    before = await bookings.find(Filter())
    async with gateway_engine.connect() as writer:
        await writer.execute(text("SAVEPOINT inner_one"))
        await writer.execute(text("DELETE FROM bookings WHERE \"bookingReference\" = 'one'"))
        await writer.execute(text("RELEASE inner_one"))
        during = [await bookings.find(Filter()) for _ in range(2)]
        await getattr(writer, end)()
    after = await bookings.find(Filter())

    assert during == [before, before]
    assert after.total == (2 if end == "commit" else 3)


async def test_an_answer_overtaken_while_it_was_made_is_not_given_again(gateway_engine: AsyncEngine) -> None:
    answers, made = Answers(), Listing(b"[]", 0)
    async with gateway_engine.connect() as connection:
        reading = await connection.execution_options(isolation_level="AUTOCOMMIT")
        before = await snapshot(reading)
        await book(gateway_engine)
        answers.keep(before, "all", made)
        assert answers.get(await snapshot(reading), "all") is None


def test_what_is_too_large_is_not_kept_and_what_is_kept_stays() -> None:
    answers, small, large = Answers(), Listing(b"[]", 0), Listing(bytes(65 * 2**20), 1)
    answers.keep("1:1:", "small", small)
    answers.keep("1:1:", "large", large)
    assert answers.get("1:1:", "small") is small
    assert answers.get("1:1:", "large") is None
