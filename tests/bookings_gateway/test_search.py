"""One box finds people, bookings and payments, however they are typed; what fits best comes first."""

from typing import Any

import pytest

from support.admin import Admin, person, totals, user_id
from support.events import EPOCH, booking, linked, merged, payment

PAYMENT_ID = "00000000-0000-4000-8000-0000000000f1"


def contact(first: str, last: str, **others: str) -> dict[str, Any]:
    return {"contact": {"first_name": first, "last_name": last, **others}}


@pytest.fixture
async def office(admin: Admin) -> Admin:
    """Three people; Anna Lee O'Brien of Acme has a booking that is paid."""
    await admin.heard(
        person(
            "Anna O'Brien", email="anna.obrien@acme.co.uk", phone="+44 (0)7700 900123", company_name="Acme Träining"
        ),
        person("Jonathan Smith", email="jsmith@example.com", phone="07700 900456"),
        person("Smithson Reed"),
        totals("Jonathan Smith", last_activity_date=EPOCH.isoformat()),
    )
    made = payment(PAYMENT_ID, "b1")
    intent = {"stripe_payment_intent_id": "pi_3NxYzAbCdEf"}
    await admin.heard(
        booking("b1", **contact("Anna", "O'Brien", phone="0044 7700 900123"), booking_reference="BK-2026-0042"),
        linked("b1", user_id("Anna O'Brien")),
        made.model_copy(update={"data": {**made.data, **intent}}),
    )
    return admin


@pytest.mark.parametrize(
    ("typed", "name", "match"),
    [
        ("o'brien", "Anna O'Brien", "exact"),
        ("OBRIEN", "Anna O'Brien", "exact"),
        ("  anna   o’brien ", "Anna O'Brien", "exact"),
        ("o'brien acme", "Anna O'Brien", "exact"),
        ("trai", "Anna O'Brien", "prefix"),
        ("training", "Anna O'Brien", "exact"),
        ("anna.obrien@acme.co.uk", "Anna O'Brien", "exact"),
        ("anna.obrien@ac", "Anna O'Brien", "prefix"),
        ("acme.co.uk", "Anna O'Brien", "exact"),
        ("+447700900123", "Anna O'Brien", "exact"),
        ("07700 900 123", "Anna O'Brien", "exact"),
        ("(0)7700-900123", "Anna O'Brien", "exact"),
        ("900123", "Anna O'Brien", "prefix"),
        ("07700\u2011900\u2013123", "Anna O'Brien", "exact"),
        ("\u202a+44 7700 900123\u202c", "Anna O'Brien", "exact"),
        ("tel:+447700900123", "Anna O'Brien", "exact"),
        ("Tel: 07700 900123", "Anna O'Brien", "exact"),
        ("07700 900123 ext 5", "Anna O'Brien", "exact"),
        ("+44 7700 900123;ext=5", "Anna O'Brien", "exact"),
        ("anna.obrien@amce.co.uk", "Anna O'Brien", "similar"),
        ("jsmith@gmial.com", "Jonathan Smith", "similar"),
        ("jonathan smiht", "Jonathan Smith", "similar"),
        ("jonathon", "Jonathan Smith", "similar"),
        ("smoth", "Jonathan Smith", "similar"),
        ("smiht jonathon", "Jonathan Smith", "similar"),
        ("smith jonathan", "Jonathan Smith", "exact"),
        ("jon smi", "Jonathan Smith", "prefix"),
        ("smi jon", "Jonathan Smith", "prefix"),
        ("jsmi", "Jonathan Smith", "prefix"),
    ],
)
async def test_a_person_is_found_however_they_are_typed(office: Admin, typed: str, name: str, match: str) -> None:
    found = (await office.get("/search", q=typed))["users"][0]

    assert (found["name"], found["match"]) == (name, match)


async def test_a_phone_number_is_found_in_a_list_as_it_was_pasted(office: Admin) -> None:
    assert await office.names(search="Tel: 07700\u2011900123") == ["Anna O'Brien"]


async def test_a_mailbox_at_a_mistyped_domain_is_no_other_mailbox(office: Admin) -> None:
    assert (await office.get("/search", q="jsmit@gmial.com"))["users"] == []


async def test_exact_words_come_before_words_begun(office: Admin) -> None:
    found = (await office.get("/search", q="smith"))["users"]

    assert [(user["name"], user["match"]) for user in found] == [
        ("Jonathan Smith", "exact"),
        ("Smithson Reed", "prefix"),
    ]


@pytest.mark.parametrize("typed", ["BK-2026-0042", "bk20260042", "bk-2026", "o'brien", "0044 7700 900123"])
async def test_a_booking_and_its_payment_are_found(office: Admin, typed: str) -> None:
    found = await office.get("/search", q=typed)

    assert [booking["bookingReference"] for booking in found["bookings"]] == ["BK-2026-0042"]
    assert [(each["id"], each["match"]) for each in found["payments"]] == [(PAYMENT_ID, "booking")]
    assert found["bookings"][0]["paymentStatus"] == "paid"
    assert found["bookings"][0]["userId"] == user_id("Anna O'Brien")


@pytest.mark.parametrize("typed", ["pi_3NxYzAbCdEf", "pi_3NxYz", PAYMENT_ID])
async def test_a_payment_is_found_by_its_own_ids(office: Admin, typed: str) -> None:
    found = await office.get("/search", q=typed)

    assert [(each["id"], each["match"]) for each in found["payments"]] == [(PAYMENT_ID, "exact")]


@pytest.mark.parametrize("typed", ["pi_3Smiht", "smiht_1", "BK-smiht-2"])
async def test_a_code_is_no_mistyped_name(office: Admin, typed: str) -> None:
    assert (await office.get("/search", q=typed))["users"] == []


@pytest.mark.parametrize("typed", ["winter", "zoe winter", "zoe.winter@example.com", "o'brien"])
async def test_payments_are_searched_by_the_customer_they_show(office: Admin, typed: str) -> None:
    await office.heard(person("Zoe Winter"), person("Sam Winterbourne"))
    await office.heard(merged(user_id("Anna O'Brien"), user_id("Zoe Winter")))

    found = await office.get("/payments", search=typed)

    assert (found["total"], [each["customerName"] for each in found["data"]]) == (1, ["Zoe Winter"])


async def test_a_deleted_booking_is_not_found(office: Admin) -> None:
    await office.heard(booking("b1", 2, deleted=True))

    assert (await office.get("/search", q="BK-2026-0042"))["bookings"] == []


@pytest.mark.parametrize(
    "typed", ["'", "\\", "!:*", "a & b | (c", "'); --", "\x00", "ann\x00lee", "ﬁ", "¼", "😀", "%", "_", "@", "+"]
)
async def test_whatever_is_typed_is_an_answer(office: Admin, typed: str) -> None:
    assert set(await office.get("/search", q=typed)) == {"query", "users", "bookings", "payments"}
    await office.get("/users", search=typed)
    await office.get("/payments", search=typed)
