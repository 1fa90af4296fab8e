"""The export is every booking that matches, as a spreadsheet may open it."""

import csv
import io

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from support.legacy_gateway import client_of
from support.legacy_table import book, execute

PERSON = {"firstName": "Zoë", "lastName": "Lee", "email": "zoe@example.com", "phone": "+44 20", "company": "=1+1"}


async def rows_of(engine: AsyncEngine, **wanted: str) -> list[dict[str, str]]:
    async with client_of(engine) as client:
        answer = await client.get("/bookings/export", params=wanted)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


async def test_every_booking_is_a_line_under_the_header(gateway_engine: AsyncEngine) -> None:
    for _ in range(1100):
        await book(gateway_engine)

    assert len(await rows_of(gateway_engine)) == 1100


async def test_no_cell_is_a_formula_and_an_amount_stays_a_number(gateway_engine: AsyncEngine) -> None:
    await book(gateway_engine, contactDetails=PERSON, finalAmount=-5, paymentMethod="@cmd", bookingReference="\tx")

    (row,) = await rows_of(gateway_engine)

    assert (row["customerName"], row["customerEmail"]) == ("Zoë Lee", "zoe@example.com")
    assert (row["customerPhone"], row["customerCompany"], row["paymentMethod"]) == ("'+44 20", "'=1+1", "'@cmd")
    assert (row["finalAmount"], row["bookingReference"], row["paymentDate"]) == ("-5.00", "'\tx", "")


async def test_nothing_of_participants_and_notes_leaves(gateway_engine: AsyncEngine) -> None:
    await book(gateway_engine, participants=[{"medical": "planted"}], invoiceDetails={"vat": "planted"})

    assert "planted" not in str(await rows_of(gateway_engine))


@pytest.mark.parametrize(("wanted", "count"), [({"search": "zoë"}, 1), ({"status": "paid"}, 0), ({}, 2)])
async def test_it_is_filtered_like_the_listing(gateway_engine: AsyncEngine, wanted: dict[str, str], count: int) -> None:
    await book(gateway_engine, contactDetails=PERSON)
    await book(gateway_engine)

    assert len(await rows_of(gateway_engine, **wanted)) == count


async def test_a_missing_table_is_said_before_the_file_begins(gateway_engine: AsyncEngine) -> None:
    await execute(gateway_engine, "DROP TABLE bookings")
    async with client_of(gateway_engine) as client:
        answer: httpx.Response = await client.get("/bookings/export")

    assert (answer.status_code, list(answer.json())) == (503, ["error"])
