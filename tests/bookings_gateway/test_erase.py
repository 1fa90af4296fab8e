"""An erased person is nowhere in the gateway's database, whatever came before, meanwhile and after; the money is."""

import json
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.capture import Capture
from bookings_gateway.domain import DEFAULT_LAYOUT
from bookings_gateway.erase import Erase
from bookings_gateway.handlers import ReadModelHandler
from bookings_gateway.legacy_table import LegacyTableCache
from shared.events import Event
from shared.signal import Signal
from support.admin import Admin, erased, person, totals, user_id
from support.apply import apply
from support.events import booking, linked, payment
from support.legacy_table import book, execute, fetch
from support.letters import cut_off, kept, set_aside

SECRET = "Quillfeather"
ANN, BOB = f"Ann {SECRET}", "Bob Orr"
CONTACT = {"firstName": "Ann", "lastName": SECRET, "email": f"Ann.{SECRET}@example.com", "phone": "07700 900987"}
PARTICIPANTS = [{"firstName": "Cy", "lastName": SECRET, "medicalNotes": "nuts"}]
PHONE = "789009007"  # its digits as they are searched for


@dataclass
class Gateway:
    """The gateway's workers, run by hand."""

    engine: AsyncEngine

    async def capture(self) -> None:
        """Turn captured changes into events, and take those in as the broker would bring them."""
        while await Capture(Signal(), DEFAULT_LAYOUT, "GBP", ZoneInfo("UTC")).capture_page(self.engine, "/gateway"):
            pass
        events = [Event.model_validate(json.loads(row[0])) for row in await self._log()]
        await apply(self.engine, ReadModelHandler("GBP"), events)

    async def _log(self) -> list[tuple[Any, ...]]:
        return await fetch(self.engine, "SELECT CAST(body AS text) FROM event_log ORDER BY seq")

    async def erase(self) -> int:
        return await Erase(LegacyTableCache("bookings", DEFAULT_LAYOUT), Signal()).erase_due(self.engine)

    async def traces(self, *values: str) -> list[str]:
        """Return every table in which one of the values is found anywhere."""
        tables = await fetch(
            self.engine,
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
            "WHERE schemaname IN ('gateway', 'public')",
        )
        found = []
        for (table,) in tables:
            body = f"SELECT coalesce(string_agg(CAST(t AS text), ' '), '') FROM {table} t"  # noqa: S608 - a catalogue's name
            said = (await fetch(self.engine, body))[0][0].lower()
            found += [table for value in values if value.lower() in said or value.encode().hex() in said]
        return found


@pytest.fixture
async def gateway(admin: Admin) -> Gateway:
    """A legacy booking of Ann's, which became events; she and Bob are known."""
    await admin.heard(person(ANN, phone="07700 900987"), totals(ANN), person(BOB))
    return Gateway(admin.engine)


async def booked(engine: AsyncEngine, **columns: Any) -> str:
    return await book(engine, contactDetails=CONTACT, participants=PARTICIPANTS, finalAmount="67.50", **columns)


async def test_nothing_of_an_erased_person_is_left_and_the_money_is(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine, invoiceDetails={"name": SECRET})
    await gateway.capture()
    await admin.heard(linked(id_, user_id(ANN)), payment("p1", id_))
    await execute(gateway.engine, "UPDATE bookings SET status = 'CONFIRMED'")  # captured, not yet an event
    await dead_letter(gateway.engine, user_id(ANN))
    everywhere = ["booking_change", "booking_summary", "customer", "customer_moved", "dead_letter", "event_log"]
    assert sorted(await gateway.traces(SECRET)) == [
        *(f"gateway.{table}" for table in [*everywhere, "search_word"]),
        "public.bookings",
    ]

    await admin.heard(erased(ANN))
    assert await gateway.erase() == 1
    await gateway.capture()
    await gateway.erase()

    assert await gateway.traces(SECRET, PHONE, "nuts") == []
    row = (await fetch(gateway.engine, 'SELECT "finalAmount", status, "contactDetails", participants FROM bookings'))[0]
    assert [str(row[0]), *row[1:]] == ["67.50", "CONFIRMED", {}, []]
    assert (await admin.get(f"/users/{user_id(ANN)}"))["totalSpent"] == "67.50"
    assert (await admin.get(f"/users/{user_id(ANN)}/payments"))["data"][0]["received"] == "67.50"
    assert await admin.names() == [BOB]


async def test_a_row_rewritten_for_somebody_else_is_left_until_users_say_whose_it_is(
    gateway: Gateway, admin: Admin
) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await admin.heard(person(ANN), person(BOB), linked(id_, user_id(ANN)), erased(ANN))
    await gateway.erase()
    contact = json.dumps({"firstName": "Bob", "email": "Bob.Orr@example.com"})
    await execute(gateway.engine, 'UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb)', contact=contact)
    await gateway.capture()
    assert await gateway.erase() == 0
    await admin.heard(linked(id_, user_id(BOB), 2))
    await gateway.erase()

    assert await fetch(gateway.engine, "SELECT \"contactDetails\" ->> 'firstName' FROM bookings") == [("Bob",)]


async def test_a_row_that_names_an_erased_person_again_is_emptied_again(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await admin.heard(person(ANN), linked(id_, user_id(ANN)), erased(ANN))
    await gateway.erase()
    contact = json.dumps(CONTACT)
    await execute(gateway.engine, 'UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb)', contact=contact)
    await gateway.capture()
    assert await gateway.erase() == 1
    assert await gateway.traces(SECRET) == []


async def test_a_batch_among_the_dead_letters_goes_with_whoever_is_in_it(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))
    others = b"[" + person(BOB).encode() + b"]"
    for body in (person(ANN).encode(), booking(id_, 9, contact={"last_name": SECRET}).encode(), b'"\xff'):
        await dead_batch(gateway.engine, b"[" + body + b"," + person(BOB).encode() + b"]")
    await dead_batch(gateway.engine, others)

    await gateway.erase()
    await gateway.capture()
    await gateway.erase()
    bodies = await fetch(gateway.engine, "SELECT body FROM dead_letter WHERE body <> '' ORDER BY id")
    assert len(bodies) == 2
    assert bodies[-1][0] == others
    assert await gateway.traces(SECRET, PHONE) == []


async def test_a_letter_nobody_can_read_goes_with_whom_it_names(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))
    for event in (person(ANN), booking(id_, 9, contact={"last_name": SECRET})):
        await set_aside(gateway.engine, cut_off(event))
    bobs = await set_aside(gateway.engine, cut_off(person(BOB)))

    await gateway.erase()
    await gateway.capture()
    await gateway.erase()
    assert await kept(gateway.engine) == {bobs}


async def dead_batch(engine: AsyncEngine, body: bytes) -> None:
    await execute(
        engine,
        """
        INSERT INTO dead_letter (content_type, body, reason, attempts, first_failed_at, last_failed_at)
        VALUES ('application/cloudevents-batch+json', :body, 'tried', 5, now(), now())
        """,
        body=body,
    )


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


async def test_older_events_that_come_late_bring_nobody_back(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine)
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))
    await gateway.capture()
    await gateway.erase()

    late = booking(id_, 1, contact={"last_name": SECRET})
    newer = booking(id_, 50, contact={"last_name": SECRET})
    await admin.heard(person(ANN, 7), person(ANN, 12), totals(ANN, 2), late, newer)
    await gateway.capture()
    await gateway.erase()

    assert await gateway.traces(SECRET, PHONE) == []
    assert (await admin.get("/search", q=SECRET))["users"] == []


async def test_a_link_that_comes_after_the_erasure_is_forgotten_too(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await admin.heard(erased(ANN))
    assert await gateway.erase() == 0

    await admin.heard(linked(id_, user_id(ANN)))
    assert await gateway.erase() == 1
    assert await gateway.erase() == 0


async def test_a_row_the_legacy_application_holds_comes_again(gateway: Gateway, admin: Admin) -> None:
    held, free = await booked(gateway.engine), await booked(gateway.engine)
    await admin.heard(erased(ANN), linked(held, user_id(ANN)), linked(free, user_id(ANN)))
    async with gateway.engine.begin() as legacy:
        await legacy.execute(text("SELECT 1 FROM bookings WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": held})
        assert await gateway.erase() == 1

    assert await gateway.erase() == 1
    assert {json.dumps(row[0]) for row in await fetch(gateway.engine, 'SELECT "contactDetails" FROM bookings')} == {
        "{}"
    }


async def test_a_booking_that_is_deleted_already_is_forgotten_in_the_history(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await execute(gateway.engine, "DELETE FROM bookings")
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))
    await gateway.erase()
    await gateway.capture()

    assert await gateway.traces(SECRET, PHONE) == []


async def test_others_with_the_same_name_stay_as_they_are(gateway: Gateway, admin: Admin) -> None:
    namesake = f"Eve {SECRET}"
    await admin.heard(person(namesake), erased(ANN))
    await gateway.erase()

    found = (await admin.get("/search", q=SECRET.replace("ea", "ae")))["users"]
    assert [(user["name"], user["match"]) for user in found] == [(namesake, "similar")]


async def test_a_row_that_cannot_be_emptied_holds_up_no_other(gateway: Gateway, admin: Admin) -> None:
    refusing, free = await booked(gateway.engine, bookingReference="KEPT-1"), await booked(gateway.engine)
    await execute(
        gateway.engine,
        """ALTER TABLE bookings ADD CHECK ("bookingReference" <> 'KEPT-1' OR CAST("contactDetails" AS text) <> '{}')""",
    )
    await admin.heard(erased(ANN), linked(refusing, user_id(ANN)), linked(free, user_id(ANN)))

    assert await gateway.erase() == 1
    assert await gateway.erase() == 0
    contacts = dict(await fetch(gateway.engine, 'SELECT CAST(id AS text), "contactDetails" FROM bookings'))
    assert contacts == {refusing: CONTACT, free: {}}


SPELLINGS = (
    *("participantdetails", "medicalnotes", "dietaryrequirements", "specialrequirements", "internalnotes"),
    *("emergencycontact", "dateofbirth", "billingaddress", "accessibilityneeds", "accessibility_needs"),
    *("AccessibilityNeeds", "attendees", "dob", "postcode", "Medical Notes"),
)


async def test_columns_that_tell_of_people_are_emptied_however_they_are_spelled(gateway: Gateway, admin: Admin) -> None:
    for column in SPELLINGS:
        await execute(gateway.engine, f"ALTER TABLE bookings ADD \"{column}\" text DEFAULT '{SECRET}'")
    await execute(gateway.engine, "ALTER TABLE bookings ADD guests integer DEFAULT 3")
    await execute(gateway.engine, f"ALTER TABLE bookings ADD delegates text[] NOT NULL DEFAULT '{{{SECRET}}}'")
    who = """ALTER TABLE bookings ADD who text GENERATED ALWAYS AS ("contactDetails" ->> 'lastName') STORED"""
    await execute(gateway.engine, who)
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await admin.heard(linked(id_, user_id(ANN)), erased(ANN))
    await gateway.erase()
    await gateway.capture()
    await gateway.erase()

    assert await gateway.traces(SECRET) == []
    assert await fetch(gateway.engine, "SELECT guests, delegates FROM bookings") == [(3, [])]


async def test_a_column_without_an_empty_value_is_left_and_the_others_go(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine)
    await execute(gateway.engine, """ALTER TABLE bookings ADD "dateOfBirth" date NOT NULL DEFAULT '1980-02-01'""")
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))

    assert await gateway.erase() == 1
    assert await fetch(gateway.engine, 'SELECT "contactDetails", participants FROM bookings') == [({}, [])]


@pytest.mark.parametrize("again", ["saved", "restored"])
async def test_a_person_written_back_into_their_booking_is_taken_out_again(
    gateway: Gateway, admin: Admin, again: str
) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))
    assert await gateway.erase() == 1
    await gateway.capture()
    if again == "saved":
        whole = """UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb)"""
        await execute(gateway.engine, whole, contact=json.dumps(CONTACT))
    else:
        await execute(gateway.engine, "DELETE FROM bookings")
        await booked(gateway.engine, id=id_)

    await gateway.capture()
    assert await gateway.erase() == 1
    await gateway.capture()

    assert await gateway.traces(SECRET, PHONE) == []
    assert await gateway.erase() == 0


async def test_a_booking_that_went_to_somebody_else_is_theirs_and_its_old_versions_are_nobodys(
    gateway: Gateway, admin: Admin
) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await admin.heard(linked(id_, user_id(ANN)))
    his = {"firstName": "Bob", "lastName": "Orr", "email": "bob@example.com"}
    change = """UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb), participants = '[]'"""
    await execute(gateway.engine, change, contact=json.dumps(his))
    await gateway.capture()
    await admin.heard(linked(id_, user_id(BOB), 2), erased(ANN))

    assert await gateway.erase() == 1
    assert await gateway.erase() == 0
    assert await gateway.traces(SECRET, PHONE) == []
    assert await fetch(gateway.engine, 'SELECT "contactDetails" FROM bookings') == [(his,)]
    ((newest,),) = await fetch(
        gateway.engine, "SELECT body #>> '{data,contact,email}' FROM event_log ORDER BY sequence DESC LIMIT 1"
    )
    assert newest == his["email"]


async def test_a_booking_written_anew_for_somebody_else_is_shown_as_theirs(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await admin.heard(linked(id_, user_id(ANN)), erased(ANN))
    assert await gateway.erase() == 1
    await gateway.capture()
    his = {"firstName": "Bob", "lastName": "Orr", "email": "bob@example.com"}
    change = """UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb)"""
    await execute(gateway.engine, change, contact=json.dumps(his))
    await gateway.capture()
    await admin.heard(linked(id_, user_id(BOB), 2))

    assert await gateway.erase() == 1
    assert await gateway.erase() == 0
    (shown,) = (await admin.get(f"/users/{user_id(BOB)}/bookings"))["data"]
    assert (shown["customerName"], shown["customerEmail"]) == ("Bob Orr", "bob@example.com")
    assert [hit["id"] for hit in (await admin.get("/search", q="bob@example.com"))["bookings"]] == [id_]
    assert await fetch(gateway.engine, 'SELECT "contactDetails" FROM bookings') == [(his,)]
    assert await gateway.traces(SECRET, PHONE) == []


async def test_a_booking_whose_link_was_taken_back_is_forgotten_with_its_row(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await admin.heard(linked(id_, user_id(ANN)))
    await execute(gateway.engine, "UPDATE booking_user SET user_id = NULL, written = false")
    await admin.heard(erased(ANN))

    assert await gateway.erase() == 1
    await gateway.capture()
    assert await gateway.erase() == 0
    assert await gateway.traces(SECRET, PHONE) == []


async def test_a_change_that_was_set_aside_goes_with_its_row_though_nobody_was_told_of_the_booking(
    gateway: Gateway, admin: Admin
) -> None:
    await booked(gateway.engine, createdAt="2025-01-01T00:00:00Z")
    await execute(gateway.engine, SET_ASIDE)
    await admin.heard(erased(ANN))

    assert await gateway.erase() == 1
    await gateway.capture()
    assert await gateway.erase() == 0
    assert await gateway.traces(SECRET, PHONE, "nuts") == []
    assert await fetch(gateway.engine, "SELECT error FROM booking_change_failed") == [("ValueError",)]


async def test_of_a_change_that_was_set_aside_only_that_goes_where_the_row_is_somebody_elses_now(
    gateway: Gateway, admin: Admin
) -> None:
    await booked(gateway.engine, createdAt="2025-01-01T00:00:00Z")
    await execute(gateway.engine, SET_ASIDE)
    his = {"firstName": "Bob", "email": "bob@example.com"}
    change = """UPDATE bookings SET "contactDetails" = CAST(:contact AS jsonb), participants = '[]'"""
    await execute(gateway.engine, change, contact=json.dumps(his))
    await gateway.capture()
    await admin.heard(erased(ANN))
    await gateway.erase()

    assert await gateway.traces(SECRET, PHONE, "nuts") == []
    assert await fetch(gateway.engine, 'SELECT "contactDetails" FROM bookings') == [(his,)]


async def test_what_an_erased_persons_address_booked_afterwards_stays_though_its_change_was_set_aside(
    gateway: Gateway, admin: Admin
) -> None:
    await admin.heard(erased(ANN))
    await booked(gateway.engine, createdAt="2199-01-01T00:00:00Z")
    await execute(gateway.engine, SET_ASIDE)

    assert await gateway.erase() == 0
    assert await fetch(gateway.engine, 'SELECT "contactDetails" FROM bookings') == [(CONTACT,)]


SET_ASIDE = """
    WITH captured AS (DELETE FROM booking_change RETURNING *)
    INSERT INTO booking_change_failed (seq, op, booking_id, row, changed_at, error)
    SELECT seq, op, booking_id, row, changed_at, 'ValueError: Quillfeather' FROM captured
"""


async def test_what_the_error_desk_was_told_of_an_erased_person_goes(gateway: Gateway, admin: Admin) -> None:
    id_ = await booked(gateway.engine)
    await gateway.capture()
    await execute(gateway.engine, DESK, id=id_, told=json.dumps(CONTACT), why=f"{SECRET} called")
    await admin.heard(erased(ANN), linked(id_, user_id(ANN)))

    assert await gateway.erase() == 1
    await gateway.capture()
    await gateway.erase()
    assert await gateway.traces(SECRET, PHONE) == []
    assert await fetch(gateway.engine, "SELECT booking_id, code FROM import_item") == [(id_, "row_unreadable")]
    assert await fetch(gateway.engine, "SELECT subject, decided_by FROM import_decision") == [(id_, "office")]


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
