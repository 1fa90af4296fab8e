"""Captured changes become events: in order, dense, exactly once, and none stands in another's way."""

from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway import capture
from bookings_gateway.capture import Capture
from bookings_gateway.domain import DEFAULT_LAYOUT
from shared.contracts.bookings import BookingContact
from shared.signal import Signal
from support.legacy_table import book, execute, fetch

SOURCE = "/bookings-gateway"

# Fails the deletion that ends the transaction, after the events were appended.
_BREAK = """
    CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''crash''; END';
"""
_BREAK_ON = "CREATE TRIGGER broken BEFORE DELETE ON booking_change FOR EACH STATEMENT EXECUTE FUNCTION broken()"
_UNREADABLE = """
    INSERT INTO booking_change (op, booking_id, row, changed_at) VALUES ('U', :id, '{"no": "id"}', now())
"""


def a_capture() -> Capture:
    return Capture(Signal(), DEFAULT_LAYOUT, "GBP", ZoneInfo("Europe/London"))


async def log(engine: AsyncEngine) -> list[tuple[str, str, int]]:
    rows = await fetch(engine, "SELECT type, subject, sequence FROM event_log ORDER BY seq")
    return [(row[0], row[1], row[2]) for row in rows]


async def count(engine: AsyncEngine, table: str) -> int:
    return int((await fetch(engine, f"SELECT count(*) FROM {table}"))[0][0])  # noqa: S608 - a name of this file


async def test_each_change_becomes_one_event_with_the_next_version(gateway_engine: AsyncEngine) -> None:
    one, two = await book(gateway_engine), await book(gateway_engine)
    await execute(gateway_engine, "UPDATE bookings SET status = 'PAID' WHERE id = CAST(:id AS uuid)", id=one)
    assert await a_capture().capture_page(gateway_engine, SOURCE) == 3
    await execute(gateway_engine, "DELETE FROM bookings WHERE id = CAST(:id AS uuid)", id=one)
    assert await a_capture().capture_page(gateway_engine, SOURCE) == 1

    assert await log(gateway_engine) == [
        ("booking.created", one, 1),
        ("booking.created", two, 1),
        ("booking.updated", one, 2),
        ("booking.deleted", one, 3),
    ]
    assert await count(gateway_engine, "booking_change") == 0
    assert await count(gateway_engine, "outbox") == 4


async def test_a_booking_made_again_under_its_id_counts_on(gateway_engine: AsyncEngine) -> None:
    id_ = await book(gateway_engine)
    await execute(gateway_engine, "DELETE FROM bookings")
    await book(gateway_engine, id=id_)
    await a_capture().capture_page(gateway_engine, SOURCE)

    assert [(type_, sequence) for type_, _, sequence in await log(gateway_engine)] == [
        ("booking.created", 1),
        ("booking.deleted", 2),
        ("booking.created", 3),
    ]


async def test_a_crash_between_append_and_commit_captures_each_change_once(gateway_engine: AsyncEngine) -> None:
    id_ = await book(gateway_engine)
    await execute(gateway_engine, _BREAK)
    await execute(gateway_engine, _BREAK_ON)
    with pytest.raises(DBAPIError, match="crash"):
        await a_capture().capture_page(gateway_engine, SOURCE)
    assert await log(gateway_engine) == []
    await execute(gateway_engine, "DROP TRIGGER broken ON booking_change")

    await a_capture().capture_page(gateway_engine, SOURCE)
    await a_capture().capture_page(gateway_engine, SOURCE)

    assert await log(gateway_engine) == [("booking.created", id_, 1)]


async def test_one_replica_captures_at_a_time(gateway_engine: AsyncEngine) -> None:
    await book(gateway_engine)
    async with gateway_engine.begin() as other:
        await other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": capture.LOCK})
        assert await a_capture().capture_page(gateway_engine, SOURCE) == 0

    assert await a_capture().capture_page(gateway_engine, SOURCE) == 1


async def test_a_change_no_event_can_be_made_of_is_set_aside_and_blocks_nothing(gateway_engine: AsyncEngine) -> None:
    id_ = await book(gateway_engine)
    await execute(gateway_engine, _UNREADABLE, id=id_)
    await execute(gateway_engine, "UPDATE bookings SET status = 'PAID'")
    await a_capture().capture_page(gateway_engine, SOURCE)

    assert await log(gateway_engine) == [("booking.created", id_, 1), ("booking.updated", id_, 2)]
    assert await fetch(gateway_engine, "SELECT booking_id, error FROM booking_change_failed") == [
        (id_, "KeyError in booking_snapshot")
    ]


async def test_what_is_kept_of_an_error_repeats_no_value(
    gateway_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> BookingContact:
        return BookingContact.model_validate({"email": ["ann@example.com"]})

    monkeypatch.setattr(capture, "booking_snapshot", refuse)
    await book(gateway_engine)
    await a_capture().capture_page(gateway_engine, SOURCE)

    ((error,),) = await fetch(gateway_engine, "SELECT error FROM booking_change_failed")
    assert error == "ValidationError: email: Input should be a valid string"


async def test_more_than_a_page_is_captured_page_by_page_in_order(gateway_engine: AsyncEngine) -> None:
    insert = 'INSERT INTO bookings ("bookingReference") SELECT CAST(n AS text) FROM generate_series(1, :count) n'
    await execute(gateway_engine, insert, count=capture.PAGE + 1)

    captured = [await a_capture().capture_page(gateway_engine, SOURCE) for _ in range(3)]

    references = "SELECT CAST(body -> 'data' ->> 'booking_reference' AS int) FROM event_log ORDER BY seq"
    assert captured == [capture.PAGE, 1, 0]
    assert [row[0] for row in await fetch(gateway_engine, references)] == list(range(1, capture.PAGE + 2))
