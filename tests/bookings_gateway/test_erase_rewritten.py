"""Bookings written anew: for the erased person again, or for somebody else, whose they then are."""

import json

import pytest

from support.admin import Admin, erased, person, user_id
from support.erasing import ANN, BOB, CONTACT, PHONE, SECRET, Erasing, booked
from support.events import linked
from support.legacy_table import execute, fetch


async def test_a_row_rewritten_for_somebody_else_is_left_until_users_say_whose_it_is(
    erasing: Erasing, admin: Admin
) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await admin.heard(person(ANN), person(BOB), linked(id_, user_id(ANN)), erased(ANN))
    await erasing.erase()
    contact = json.dumps({"firstName": "Bob", "email": "Bob.Orr@example.com"})
    await execute(erasing.engine, 'UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb)', contact=contact)
    await erasing.capture()
    assert await erasing.erase() == 0
    await admin.heard(linked(id_, user_id(BOB), 2))
    await erasing.erase()

    assert await fetch(erasing.engine, "SELECT \"contactDetails\" ->> 'firstName' FROM bookings") == [("Bob",)]


async def test_a_row_that_names_an_erased_person_again_is_emptied_again(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await admin.heard(person(ANN), linked(id_, user_id(ANN)), erased(ANN))
    await erasing.erase()
    contact = json.dumps(CONTACT)
    await execute(erasing.engine, 'UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb)', contact=contact)
    await erasing.capture()
    assert await erasing.erase() == 1
    assert await erasing.traces(SECRET) == []


@pytest.mark.parametrize("again", ["saved", "restored"])
async def test_a_person_written_back_into_their_booking_is_taken_out_again(
    erasing: Erasing, admin: Admin, again: str
) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))
    assert await erasing.erase() == 1
    await erasing.capture()
    if again == "saved":
        whole = """UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb)"""
        await execute(erasing.engine, whole, contact=json.dumps(CONTACT))
    else:
        await execute(erasing.engine, "DELETE FROM bookings")
        await booked(erasing.engine, id=id_)

    await erasing.capture()
    assert await erasing.erase() == 1
    await erasing.capture()

    assert await erasing.traces(SECRET, PHONE) == []
    assert await erasing.erase() == 0


async def test_a_booking_that_went_to_somebody_else_is_theirs_and_its_old_versions_are_nobodys(
    erasing: Erasing, admin: Admin
) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await admin.heard(linked(id_, user_id(ANN)))
    his = {"firstName": "Bob", "lastName": "Orr", "email": "bob@example.com"}
    change = """UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb), participants = '[]'"""
    await execute(erasing.engine, change, contact=json.dumps(his))
    await erasing.capture()
    await admin.heard(linked(id_, user_id(BOB), 2), erased(ANN))

    assert await erasing.erase() == 1
    assert await erasing.erase() == 0
    assert await erasing.traces(SECRET, PHONE) == []
    assert await fetch(erasing.engine, 'SELECT "contactDetails" FROM bookings') == [(his,)]
    ((newest,),) = await fetch(
        erasing.engine, "SELECT body #>> '{data,contact,email}' FROM event_log ORDER BY sequence DESC LIMIT 1"
    )
    assert newest == his["email"]


async def test_a_booking_written_anew_for_somebody_else_is_shown_as_theirs(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await admin.heard(linked(id_, user_id(ANN)), erased(ANN))
    assert await erasing.erase() == 1
    await erasing.capture()
    his = {"firstName": "Bob", "lastName": "Orr", "email": "bob@example.com"}
    change = """UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb)"""
    await execute(erasing.engine, change, contact=json.dumps(his))
    await erasing.capture()
    await admin.heard(linked(id_, user_id(BOB), 2))

    assert await erasing.erase() == 1
    assert await erasing.erase() == 0
    (shown,) = (await admin.get(f"/users/{user_id(BOB)}/bookings"))["data"]
    assert (shown["customerName"], shown["customerEmail"]) == ("Bob Orr", "bob@example.com")
    assert [hit["id"] for hit in (await admin.get("/search", q="bob@example.com"))["bookings"]] == [id_]
    assert await fetch(erasing.engine, 'SELECT "contactDetails" FROM bookings') == [(his,)]
    assert await erasing.traces(SECRET, PHONE) == []


async def test_a_booking_whose_link_was_taken_back_is_forgotten_with_its_row(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await admin.heard(linked(id_, user_id(ANN)))
    await execute(erasing.engine, "UPDATE booking_user SET user_id = NULL, written = false")
    await admin.heard(erased(ANN))

    assert await erasing.erase() == 1
    await erasing.capture()
    assert await erasing.erase() == 0
    assert await erasing.traces(SECRET, PHONE) == []
