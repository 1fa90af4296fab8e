"""The listing says what the old server said, for every kind of row and type of column."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.domain import DEFAULT_LAYOUT
from bookings_gateway.handlers import ReadModelHandler
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.listing import Filter
from bookings_gateway.service import Bookings
from shared.signal import Signal
from support.apply import apply
from support.events import event, linked, payment
from support.legacy_table import book, execute

GOLDEN = Path(__file__).parent / "golden" / "listing.json"
ANN = "00000000-0000-4000-8000-00000000000a"
PERSON = {"firstName": "Ann", "lastName": "Lee", "email": "Ann@Example.com", "phone": "0123", "company": "Acme"}

KINDS: dict[str, Any] = {
    "valid": PERSON,
    "one name": {"name": "Ann Lee", "email": "ann@example.com"},
    "encoded twice": json.dumps(PERSON),
    "no contact": None,
    "empty": {},
    "blank text": "",
    "text": "Ann Lee",
    "blanks": {"firstName": " ", "lastName": "", "email": " "},
    "nulls": {"firstName": None, "lastName": None, "email": None},
    "undefined": {"firstName": "undefined", "lastName": "undefined"},
    "array": [PERSON],
    "first name only": {"firstName": "Ann"},
}


def bookings_of(engine: AsyncEngine) -> Bookings:
    return Bookings(
        engine, LegacyTableCache("bookings", DEFAULT_LAYOUT), Signal(), currency="GBP", zone="Europe/London"
    )


async def listing_of(engine: AsyncEngine, wanted: Filter | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((await bookings_of(engine).find(wanted or Filter())).body)
    return found


async def test_every_kind_of_row_reads_as_recorded(gateway_engine: AsyncEngine) -> None:
    for number, (kind, contact) in enumerate(KINDS.items(), start=1):
        await book(
            gateway_engine,
            id=f"00000000-0000-4000-8000-{number:012}",
            bookingReference=kind,
            contactDetails=contact,
            finalAmount="67.5",
            createdAt=f"2025-07-{number:02}T10:30:00.123999+01:00",
            updatedAt="2025-01-15 10:30:00+00",
        )
    await execute(
        gateway_engine, """UPDATE bookings SET "contactDetails" = 'null' WHERE "bookingReference" = 'nulls'"""
    )

    assert await listing_of(gateway_engine) == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("numeric(10,2)", "67.5", "67.50"),
        ("numeric", "'NaN'", "NaN"),
        ("bigint", "9007199254740993", "9007199254740993"),
        ("integer", "7", 7),
        ("double precision", "0.1", 0.1),
        ("double precision", "'Infinity'", None),
        ("boolean", "true", True),
        ("char(4)", "'ab'", "ab  "),
        ("json", """'{"a": [1, null]}'""", {"a": [1, None]}),
        ("jsonb", "'null'", None),
        ("timestamptz", "'2025-01-15 10:30:00.9999+00'", "2025-01-15T10:30:00.999Z"),
        ("timestamptz", "'infinity'", None),
        ("timestamp", "'2025-07-01 10:30:00'", "2025-07-01T09:30:00.000Z"),
        ("date", "'2025-07-01'", "2025-06-30T23:00:00.000Z"),
        ("date", "'2025-01-31'", "2025-01-31T00:00:00.000Z"),
        ("time", "'10:30:00'", "10:30:00"),
        ("interval", "'1 year 2 hours 3.5 seconds'", {"years": 1, "hours": 2, "seconds": 3, "milliseconds": 500}),
        ("bytea", r"'\x0102'", {"type": "Buffer", "data": [1, 2]}),
        ("text[]", "ARRAY['a', NULL]", ["a", None]),
        ("bigint[]", "ARRAY[1]", ["1"]),
        ("numeric[]", "ARRAY[1.5]", [1.5]),
        ("inet", "'10.0.0.1/32'", "10.0.0.1"),
        ("amount", "1.5", "1.50"),
        ("mood", "'glad'", "glad"),
    ],
)
async def test_each_type_has_the_form_the_old_driver_gave_it(
    gateway_engine: AsyncEngine, type_: str, value: str, expected: object
) -> None:
    await execute(gateway_engine, "CREATE DOMAIN public.amount AS numeric(10,2)")
    await execute(gateway_engine, "CREATE TYPE public.mood AS ENUM ('glad')")
    await execute(gateway_engine, f"ALTER TABLE bookings ADD COLUMN \"odd: 'name'\" {type_} DEFAULT {value}")
    await book(gateway_engine)

    assert (await listing_of(gateway_engine))[0]["odd: 'name'"] == expected


def totals_of_ann(spent: str) -> Any:
    sums = {"currency": "GBP", "total_spent": spent, "total_paid": "0", "total_refunded": "0"}
    return event("user_totals.changed", ANN, 1, {"user_id": ANN, "total_bookings": 2, "currencies": [sums]})


async def test_the_user_shows_with_totals_in_the_business_currency(gateway_engine: AsyncEngine) -> None:
    id_ = await book(gateway_engine)
    await apply(gateway_engine, ReadModelHandler("GBP"), [linked(id_, ANN)])
    assert (await listing_of(gateway_engine))[0]["user"] is None

    await apply(gateway_engine, ReadModelHandler("GBP"), [totals_of_ann("310")])

    assert (await listing_of(gateway_engine))[0]["user"] == {"id": ANN, "totalBookings": 2, "totalSpent": "310.00"}


@pytest.mark.parametrize(
    ("money", "expected"),
    [
        ({}, "paid"),
        ({"refunded": 1000}, "partially_refunded"),
        ({"refunded": 6750}, "refunded"),
        ({"open_disputes": 1}, "disputed"),
        ({"disputed": 6750}, "disputed"),
        (None, "unpaid"),
    ],
)
async def test_the_payment_status_follows_the_money(
    gateway_engine: AsyncEngine, money: dict[str, int] | None, expected: str
) -> None:
    id_ = await book(gateway_engine)
    if money is not None:
        paid = payment("p1", id_)
        told = paid.model_copy(update={"data": {**paid.data, **money}})
        await apply(gateway_engine, ReadModelHandler("GBP"), [told])

    assert (await listing_of(gateway_engine))[0]["paymentStatus"] == expected


async def test_our_own_column_does_not_show(gateway_engine: AsyncEngine) -> None:
    await book(gateway_engine)

    assert "user_id" not in (await listing_of(gateway_engine))[0]


@pytest.mark.parametrize(
    ("wanted", "references"),
    [
        (Filter(), ["C", "B", "A"]),
        (Filter(limit=1), ["C"]),
        (Filter(limit=1, offset=1), ["B"]),
        (Filter(offset=9), []),
        (Filter(status="paid"), ["B"]),
        (Filter(search="ann l"), ["A"]),
        (Filter(search="EXAMPLE.com"), ["B", "A"]),
        (Filter(search="100%"), ["C"]),
        (Filter(search="_"), []),
        (Filter(search="ann", status="PAID"), []),
    ],
)
async def test_a_filter_narrows_and_the_total_counts_all_matches(
    gateway_engine: AsyncEngine, wanted: Filter, references: list[str]
) -> None:
    await book(gateway_engine, bookingReference="A", contactDetails=PERSON, createdAt="2025-01-01")
    await book(gateway_engine, bookingReference="B", status="PAID", createdAt="2025-01-02",
               contactDetails=json.dumps({"name": "Bob", "email": "bob@example.com"}))  # fmt: skip
    await book(gateway_engine, bookingReference="C", contactDetails={"company": "100% Ltd"}, createdAt="2025-01-03")

    found = await listing_of(gateway_engine, wanted)
    listing = await bookings_of(gateway_engine).find(Filter(wanted.search, wanted.status))

    assert [row["bookingReference"] for row in found] == references
    assert (await bookings_of(gateway_engine).find(wanted)).total == listing.total


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("date", "'300000-01-01'", None),
        ("date", "'infinity'", None),
        ("date", "'-infinity'", None),
        ("date", "'275760-09-13'", "+275760-09-12T23:00:00.000Z"),
        ("date", "'275760-09-14'", None),
        ("date", "'20000-07-01'", "+020000-06-30T23:00:00.000Z"),
        ("date", "'4714-11-24 BC'", "-004713-11-24T00:01:15.000Z"),
        ("date", "'0001-01-01'", "0001-01-01T00:01:15.000Z"),
        ("timestamp", "'4714-11-24 00:00:00 BC'", "-004713-11-24T00:01:15.000Z"),
        ("timestamp", "'294276-12-31 23:59:59'", None),
        ("date[]", "ARRAY['300000-01-01', NULL, '4714-11-24 BC']::date[]", [None, None, "-004713-11-24T00:01:15.000Z"]),
        ("date[][]", "ARRAY[['300000-01-01'], ['2025-01-31']]::date[]", [[None], ["2025-01-31T00:00:00.000Z"]]),
        ("timestamptz", "'294276-12-31 23:59:59+00'", None),
        ("numeric[][]", "ARRAY[[1, 2.50], [NULL, 4]]", [[1, 2.5], [None, 4]]),
        ("numeric[]", "'[0:1]={1,2}'", [1, 2]),
        ("numeric[]", "'{}'", []),
        ("bigint[][][]", "ARRAY[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]",
         [[["1", "2"], ["3", "4"]], [["5", "6"], ["7", "8"]]]),
        ("timestamptz[][]", "ARRAY[['2025-01-15 10:30+00'], ['infinity']]::timestamptz[]",
         [["2025-01-15T10:30:00.000Z"], [None]]),
    ],
)  # fmt: skip
async def test_both_paths_give_far_times_and_lists_of_lists_the_form_the_old_driver_gave_them(
    gateway_engine: AsyncEngine, type_: str, value: str, expected: object
) -> None:
    await execute(gateway_engine, f"ALTER TABLE bookings ADD COLUMN odd {type_} DEFAULT {value}")
    await book(gateway_engine)

    old = json.loads(await bookings_of(gateway_engine).find_as_before(Filter()))
    assert [old[0]["odd"], (await listing_of(gateway_engine))[0]["odd"]] == [expected, expected]
