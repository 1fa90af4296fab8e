"""Every kind of legacy row gives a snapshot, and nothing but the contract's fields."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bookings_gateway.domain import DEFAULT_LAYOUT, booking_snapshot, read_row
from shared.contracts import BookingContact, BookingSnapshot

NOBODY = BookingContact()
ANN = BookingContact(first_name="Ann", last_name="Lee", email="Ann@Example.com", phone="0123", company="Acme")
ANN_WRITTEN = {"firstName": "Ann", "lastName": "Lee", "email": "Ann@Example.com", "phone": "0123", "company": "Acme"}


def snapshot_of(**columns: Any) -> BookingSnapshot:
    """Return the snapshot of a row as the trigger would have captured it."""
    row = read_row(json.dumps({"id": "b1", **columns}))
    return booking_snapshot(row, DEFAULT_LAYOUT, currency="GBP", zone=ZoneInfo("Europe/London"))


@pytest.mark.parametrize(
    ("contact", "expected"),
    [
        (ANN_WRITTEN, ANN),
        (json.dumps(ANN_WRITTEN), ANN),
        ({**ANN_WRITTEN, "firstName": " Ann ", "phone": 123}, ANN.model_copy(update={"phone": "123"})),
        ({"name": "Mary Jane Lee"}, BookingContact(first_name="Mary Jane", last_name="Lee")),
        ({"name": "Cher"}, BookingContact(first_name="Cher")),
        ({"name": "Ann Lee", "firstName": "Annie"}, BookingContact(first_name="Annie")),
        ({"firstName": "  ", "lastName": "", "email": " "}, NOBODY),
        ({"firstName": None, "email": ["a@b.c"], "phone": {"home": 1}, "company": True}, NOBODY),
        ({"firstName": "A\x00nn\ud800"}, BookingContact(first_name="Ann")),
        (None, NOBODY),
        ({}, NOBODY),
        ("", NOBODY),
        ("  ", NOBODY),
        ("null", NOBODY),
        ("not json", NOBODY),
        ("[" * 100_000, NOBODY),
        ('["a@b.c"]', NOBODY),
        ([ANN_WRITTEN], NOBODY),
        (17, NOBODY),
        (False, NOBODY),
    ],
)
def test_any_kind_of_contact_is_read(contact: object, expected: BookingContact) -> None:
    assert snapshot_of(contactDetails=contact).contact == expected


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("67.50", Decimal("67.50")),
        ("-5", Decimal(-5)),
        ("0", Decimal(0)),
        ('"67.50"', Decimal("67.50")),
        ("12345678901234.5678", Decimal("12345678901234.5678")),
        ("null", None),
        ('"NaN"', None),
        ('"Infinity"', None),
        ('"a lot"', None),
        ('""', None),
        ("true", None),
        ("[67.5]", None),
        ("67.5000000000", Decimal("67.5")),
        ("9999999999999999.9999", Decimal("9999999999999999.9999")),
        ("0.0000000", Decimal(0)),
        ("0.00001", None),
        ("1e16", None),
        ("1e30", None),
        ("1" * 5000, None),
    ],
)
def test_an_amount_is_exact_or_absent(amount: str, expected: Decimal | None) -> None:
    row = read_row(f'{{"id": "b1", "finalAmount": {amount}}}')

    snapshot = booking_snapshot(row, DEFAULT_LAYOUT, currency="GBP", zone=UTC)

    assert snapshot.final_amount == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2025-07-01T10:00:00+00:00", datetime(2025, 7, 1, 10, tzinfo=UTC)),
        ("2025-07-01T10:00:00.5+05:30", datetime(2025, 7, 1, 4, 30, 0, 500_000, tzinfo=UTC)),
        ("2025-07-01T10:00:00", datetime(2025, 7, 1, 9, tzinfo=UTC)),
        ("2025-01-31T23:30:00", datetime(2025, 1, 31, 23, 30, tzinfo=UTC)),
        ("infinity", None),
        ("0044-03-15T00:00:00+00:00 BC", None),
        ("", None),
        (1751364000, None),
        (None, None),
    ],
)
def test_a_time_without_zone_is_london_time(time: object, expected: datetime | None) -> None:
    assert snapshot_of(createdAt=time).created_at == expected


@pytest.mark.parametrize("status", ["PENDING", "paid", "Something new", " odd "])
def test_a_status_is_kept_as_it_is(status: str) -> None:
    assert snapshot_of(status=status).status == status


def test_nothing_beyond_the_contract_leaves() -> None:
    planted = "planted-dietary-note"
    extra = {"dateOfBirth": planted, "notes": planted}

    snapshot = snapshot_of(
        contactDetails={**ANN_WRITTEN, **extra},
        participants=[extra],
        invoiceDetails=extra,
        medicalNotes=planted,
    )

    assert planted not in snapshot.model_dump_json()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
contacts = json_values | st.dictionaries(st.sampled_from([*ANN_WRITTEN, "name"]), json_values)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    columns=st.fixed_dictionaries(
        {},
        optional={
            name: contacts if name == "contactDetails" else json_values
            for name in DEFAULT_LAYOUT.columns
            if name != "id"
        },
    )
)
def test_no_row_is_beyond_reading(columns: dict[str, Any]) -> None:
    encoded = snapshot_of(**columns).model_dump_json()

    assert "\\u0000" not in encoded
    assert BookingSnapshot.model_validate_json(encoded).booking_id == "b1"
