"""An erased person is nowhere in what the import could not tell either: rows set aside, corrections, decisions."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bookings_gateway.erase import Erase
from bookings_gateway.history.desk import ErrorDesk
from bookings_gateway.layouts import PRESETS
from bookings_gateway.legacy_table import LegacyTableCache
from shared.signal import Signal
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_history import Fact, facts
from support.legacy_table import execute
from users.service.audit import Decision
from users.service.erase_user import erase_user

SECRET = "Quillfeather"
EMAIL = f"{SECRET}@example.com".lower()
LONG = "x" * 3000


def of_one_person() -> list[Fact]:
    """A booking that can be told, and one that cannot."""
    (ordinary, other, *_) = [
        fact for fact in facts(60, seed=95) if fact.contact == "valid" and fact.status == "PENDING"
    ]
    first, second = (replace(fact, first_name=SECRET, last_name="Orr") for fact in (ordinary, other))
    told = replace(first, email=EMAIL, created=datetime(2024, 1, 2, tzinfo=UTC), company=None)
    return [told, replace(second, email=f" {EMAIL.upper()}", created=datetime(2024, 3, 4, tzinfo=UTC), company=LONG)]


async def tell_live(moved: Moved, booking: Fact) -> None:
    """Have the legacy application change a booking, which tells of it."""
    await moved.rows("bookings-gateway", "UPDATE bookings SET status = 'PAID' WHERE id = :id", id=booking.id)
    await moved.settle()


async def erase(moved: Moved) -> None:
    """Erase the person at users, and let everybody hear of it."""
    user = await moved.value("users", "SELECT id FROM users WHERE email = :email", email=EMAIL)
    await erase_user(moved.engines["users"], "/users", user, confirm=EMAIL, decision=Decision("Olga", "asked for"))
    await moved.settle()


async def settle(moved: Moved) -> None:
    while await Erase(LegacyTableCache("bookings", PRESETS["default"]), Signal()).erase_due(moved.gateway):
        await moved.settle()


async def traces(moved: Moved, words: Sequence[str]) -> list[str]:
    """The gateway's and the legacy tables that tell of the person."""
    tables = await moved.rows(
        "bookings-gateway",
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname IN ('gateway', 'public')",
    )
    found = []
    for table in (row["name"] for row in tables):
        said = f"SELECT count(*) FROM {table} t WHERE CAST(t AS text) ILIKE ANY(CAST(:words AS text[]))"  # noqa: S608
        if await moved.value("bookings-gateway", said, words=[f"%{word}%" for word in words]):
            found.append(table)
    return found


@pytest.mark.parametrize("waived", [False, True])
async def test_a_row_set_aside_is_emptied_with_what_the_desk_was_told(databases: Databases, *, waived: bool) -> None:
    told, untold = of_one_person()
    async with moving(databases, "default", [told, untold]) as moved:
        await moved.import_all()
        await moved.settle()
        desk, id_ = ErrorDesk(moved.history), str(untold.id)
        contact = {"firstName": SECRET, "email": EMAIL, "company": LONG}
        await desk.correct(id_, {"contactDetails": contact}, by="Olga", reason=f"{SECRET} rang")
        if waived:
            await desk.waive([id_], by="Olga", reason=f"{SECRET} is gone")

        await erase(moved)
        await settle(moved)

        assert await traces(moved, [SECRET]) == []


async def test_what_is_set_aside_after_the_erasure_is_emptied_too(databases: Databases) -> None:
    async with moving(databases, "default", of_one_person()) as moved:
        await tell_live(moved, of_one_person()[0])
        await erase(moved)

        await moved.import_all()
        await moved.settle()
        await settle(moved)

        assert await traces(moved, [SECRET]) == []


async def test_what_was_booked_by_the_address_after_the_erasure_stays(databases: Databases) -> None:
    told, untold = of_one_person()
    async with moving(databases, "default", [told, untold]) as moved:
        await tell_live(moved, told)
        await erase(moved)
        await execute(moved.gateway, "ALTER TABLE bookings DISABLE TRIGGER USER")
        await moved.rows("bookings-gateway", 'UPDATE bookings SET "createdAt" = now() WHERE id = :id', id=untold.id)
        await moved.import_all()
        await moved.settle()
        await settle(moved)

        assert await traces(moved, [SECRET]) == ["public.bookings"]


async def test_an_erasure_is_no_difference(databases: Databases) -> None:
    told, other = of_one_person()
    untold = replace(other, company=None, created=datetime(2060, 1, 2, tzinfo=UTC))
    async with moving(databases, "default", [told, untold]) as moved:
        await moved.import_all()
        await moved.settle()
        await tell_live(moved, told)
        said = {"createdAt": "2024-05-01T10:00:00+00:00", "finalAmount": "1.23"}
        await ErrorDesk(moved.history).correct(str(untold.id), said, by="Olga", reason="typing error")
        await moved.settle()
        await erase(moved)
        await settle(moved)
        await moved.settle()

        assert [check for check in (await moved.verified()).checks if not check.passed and check.name != "V13"] == []
