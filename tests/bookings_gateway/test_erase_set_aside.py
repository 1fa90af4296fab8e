"""What was set aside of an erased person goes: changes no event could be made of, and what the error desk was told."""

import json

from support.admin import Admin, erased, user_id
from support.erasing import ANN, CONTACT, PHONE, SECRET, Erasing, booked
from support.events import linked
from support.legacy_table import execute, fetch


async def test_a_change_that_was_set_aside_goes_with_its_row_though_nobody_was_told_of_the_booking(
    erasing: Erasing, admin: Admin
) -> None:
    await booked(erasing.engine, createdAt="2025-01-01T00:00:00Z")
    await execute(erasing.engine, SET_ASIDE)
    await admin.heard(erased(ANN))

    assert await erasing.erase() == 1
    await erasing.capture()
    assert await erasing.erase() == 0
    assert await erasing.traces(SECRET, PHONE, "nuts") == []
    assert await fetch(erasing.engine, "SELECT error FROM booking_change_failed") == [("ValueError",)]


async def test_of_a_change_that_was_set_aside_only_that_goes_where_the_row_is_somebody_elses_now(
    erasing: Erasing, admin: Admin
) -> None:
    await booked(erasing.engine, createdAt="2025-01-01T00:00:00Z")
    await execute(erasing.engine, SET_ASIDE)
    his = {"firstName": "Bob", "email": "bob@example.com"}
    change = """UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb), participants = '[]'"""
    await execute(erasing.engine, change, contact=json.dumps(his))
    await erasing.capture()
    await admin.heard(erased(ANN))
    await erasing.erase()

    assert await erasing.traces(SECRET, PHONE, "nuts") == []
    assert await fetch(erasing.engine, 'SELECT "contactDetails" FROM bookings') == [(his,)]


async def test_what_an_erased_persons_address_booked_afterwards_stays_though_its_change_was_set_aside(
    erasing: Erasing, admin: Admin
) -> None:
    await admin.heard(erased(ANN))
    await booked(erasing.engine, createdAt="2199-01-01T00:00:00Z")
    await execute(erasing.engine, SET_ASIDE)

    assert await erasing.erase() == 0
    assert await fetch(erasing.engine, 'SELECT "contactDetails" FROM bookings') == [(CONTACT,)]


SET_ASIDE = """
    WITH captured AS (DELETE FROM booking_change RETURNING *)
    INSERT INTO booking_change_failed (seq, op, booking_id, row, changed_at, error)
    SELECT seq, op, booking_id, row, changed_at, 'ValueError: Quillfeather' FROM captured
"""


async def test_what_the_error_desk_was_told_of_an_erased_person_goes(erasing: Erasing, admin: Admin) -> None:
    id_ = await booked(erasing.engine)
    await erasing.capture()
    await execute(erasing.engine, DESK, id=id_, told=json.dumps(CONTACT), why=f"{SECRET} called")
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))

    assert await erasing.erase() == 1
    await erasing.capture()
    await erasing.erase()
    assert await erasing.traces(SECRET, PHONE) == []
    assert await fetch(erasing.engine, "SELECT booking_id, code FROM import_item") == [(id_, "row_unreadable")]
    assert await fetch(erasing.engine, "SELECT subject, decided_by FROM import_decision") == [(id_, "office")]


DESK = """
    WITH run AS (
        INSERT INTO import_run (state, token, started_by, chunk_rows, code_version, plan)
        VALUES ('imported', gen_random_uuid(), 'office', 1, '1', '{}') RETURNING id
    ), item AS (
        INSERT INTO import_item (booking_id, run_id, outcome, code, detail, sha256, contact, class, currency,
                                 correction, reason)
        SELECT :id, id, 'waived', 'row_unreadable', :why, '', 'unread', 'review', 'GBP', CAST(:told AS json), :why
        FROM run
    )
    INSERT INTO import_decision (subject, action, reason, decided_by, facts)
    VALUES (:id, 'fix', :why, 'office', CAST(:told AS json))
"""
