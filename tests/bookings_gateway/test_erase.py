"""An erased person is nowhere in the gateway's database, whatever came before, meanwhile and after; the money is."""

import json

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from support.admin import Admin, erased, person, totals, user_id
from support.erasing import ANN, BOB, CONTACT, PHONE, SECRET, Erasing, booked
from support.events import booking, linked, payment
from support.legacy_table import execute, fetch


async def test_nothing_of_an_erased_person_is_left_and_the_money_is(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine, invoiceDetails={"name": SECRET})
    await erasing.capture()
    await admin.heard(linked(id_, user_id(ANN)), payment("p1", id_))
    await execute(erasing.engine, "UPDATE bookings SET status = 'CONFIRMED'")  # captured, not yet an event
    await dead_letter(erasing.engine, user_id(ANN))
    everywhere = ["booking_change", "booking_summary", "customer", "customer_moved", "dead_letter", "event_log"]
    assert sorted(await erasing.traces(SECRET)) == [
        *(f"gateway.{table}" for table in [*everywhere, "search_word"]),
        "public.bookings",
    ]

    await admin.heard(erased(ANN))
    assert await erasing.erase() == 1
    await erasing.capture()
    await erasing.erase()

    assert await erasing.traces(SECRET, PHONE, "nuts") == []
    row = (await fetch(erasing.engine, 'SELECT "finalAmount", status, "contactDetails", participants FROM bookings'))[0]
    assert [str(row[0]), *row[1:]] == ["67.50", "CONFIRMED", {}, []]
    assert (await admin.get(f"/users/{user_id(ANN)}"))["totalSpent"] == "67.50"
    assert (await admin.get(f"/users/{user_id(ANN)}/payments"))["data"][0]["received"] == "67.50"
    assert await admin.names() == [BOB]


async def dead_letter(engine: AsyncEngine, subject: str) -> None:
    await execute(
        engine,
        """
        INSERT INTO dead_letter (subject, body, reason, attempts, first_failed_at, last_failed_at)
        VALUES (:subject, CAST(:body AS bytea), 'tried', 5, now(), now())
        """,
        subject=subject,
        body=json.dumps({"data": {"last_name": SECRET}}).encode(),
    )


async def test_older_events_that_come_late_bring_nobody_back(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine)
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))
    await erasing.capture()
    await erasing.erase()

    late = booking(id_, 1, contact={"last_name": SECRET})
    newer = booking(id_, 50, contact={"last_name": SECRET})
    await admin.heard(person(ANN, 7), person(ANN, 12), totals(ANN, 2), late, newer)
    await erasing.capture()
    await erasing.erase()

    assert await erasing.traces(SECRET, PHONE) == []
    assert (await admin.get("/search", q=SECRET))["users"] == []


async def test_a_link_that_comes_after_the_erasure_is_forgotten_too(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await admin.heard(erased(ANN))
    assert await erasing.erase() == 0

    await admin.heard(linked(id_, user_id(ANN)))
    assert await erasing.erase() == 1
    assert await erasing.erase() == 0


async def test_a_row_the_legacy_application_holds_comes_again(erasing: Erasing, admin: Admin) -> None:
    held, free = await booked(erasing.engine), await booked(erasing.engine)
    await admin.heard(erased(ANN), linked(held, user_id(ANN)), linked(free, user_id(ANN)))
    async with erasing.engine.begin() as legacy:
        await legacy.execute(text("SELECT 1 FROM bookings WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": held})
        assert await erasing.erase() == 1

    assert await erasing.erase() == 1
    assert {json.dumps(row[0]) for row in await fetch(erasing.engine, 'SELECT "contactDetails" FROM bookings')} == {
        "{}"
    }


async def test_a_booking_that_is_deleted_already_is_forgotten_in_the_history(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await execute(erasing.engine, "DELETE FROM bookings")
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))
    await erasing.erase()
    await erasing.capture()

    assert await erasing.traces(SECRET, PHONE) == []


async def test_others_with_the_same_name_stay_as_they_are(erasing: Erasing, admin: Admin) -> None:
    namesake = f"Eve {SECRET}"
    await admin.heard(person(namesake), erased(ANN))
    await erasing.erase()

    found = (await admin.get("/search", q=SECRET.replace("ea", "ae")))["users"]
    assert [(user["name"], user["match"]) for user in found] == [(namesake, "similar")]


async def test_a_row_that_cannot_be_emptied_holds_up_no_other(erasing: Erasing, admin: Admin) -> None:
    refusing, free = await booked(erasing.engine, bookingReference="KEPT-1"), await booked(erasing.engine)
    await execute(
        erasing.engine,
        """ALTER TABLE bookings ADD CHECK ("bookingReference" <> 'KEPT-1' OR CAST("contactDetails" AS text) <> '{}')""",
    )
    await admin.heard(erased(ANN), linked(refusing, user_id(ANN)), linked(free, user_id(ANN)))

    assert await erasing.erase() == 1
    assert await erasing.erase() == 0
    contacts = dict(await fetch(erasing.engine, 'SELECT CAST(id AS text), "contactDetails" FROM bookings'))
    assert contacts == {refusing: CONTACT, free: {}}


SPELLINGS = (
    *("participantdetails", "medicalnotes", "dietaryrequirements", "specialrequirements", "internalnotes"),
    *("emergencycontact", "dateofbirth", "billingaddress", "accessibilityneeds", "accessibility_needs"),
    *("AccessibilityNeeds", "attendees", "dob", "postcode", "Medical Notes"),
)


async def test_columns_that_tell_of_people_are_emptied_however_they_are_spelled(erasing: Erasing, admin: Admin) -> None:
    for column in SPELLINGS:
        await execute(erasing.engine, f"ALTER TABLE bookings ADD \"{column}\" text DEFAULT '{SECRET}'")
    await execute(erasing.engine, "ALTER TABLE bookings ADD guests integer DEFAULT 3")
    await execute(erasing.engine, f"ALTER TABLE bookings ADD delegates text[] NOT NULL DEFAULT '{{{SECRET}}}'")
    who = """ALTER TABLE bookings ADD who text GENERATED ALWAYS AS ("contactDetails" ->> 'lastName') STORED"""
    await execute(erasing.engine, who)
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await admin.heard(linked(id_, user_id(ANN)), erased(ANN))
    await erasing.erase()
    await erasing.capture()
    await erasing.erase()

    assert await erasing.traces(SECRET) == []
    assert await fetch(erasing.engine, "SELECT guests, delegates FROM bookings") == [(3, [])]


async def test_a_column_without_an_empty_value_is_left_and_the_others_go(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine)
    await execute(erasing.engine, """ALTER TABLE bookings ADD "dateOfBirth" date NOT NULL DEFAULT '1980-02-01'""")
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))

    assert await erasing.erase() == 1
    assert await fetch(erasing.engine, 'SELECT "contactDetails", participants FROM bookings') == [({}, [])]
