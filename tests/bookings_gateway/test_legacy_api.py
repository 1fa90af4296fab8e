"""The legacy API as the old admin frontend uses it, errors and all."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway import legacy_table
from bookings_gateway.domain import DEFAULT_LAYOUT
from bookings_gateway.rollout.flags import SHIPPED
from support.legacy_gateway import client_of
from support.legacy_table import book, execute, fetch

NEW = {"contactDetails": {"firstName": "Ann", "lastName": "Lee", "email": "ann@example.com"}, "finalAmount": "67.50"}
NOBODY = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
async def client(gateway_engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(gateway_engine) as client:
        yield client


async def created(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/bookings", json={**NEW, **fields})
    assert answer.status_code == 201, answer.text
    booking: dict[str, Any] = answer.json()
    return booking


async def test_a_new_booking_gets_id_reference_status_and_times(client: httpx.AsyncClient) -> None:
    booking = await created(client)

    assert UUID(booking["id"])
    assert len(booking["bookingReference"]) == 11
    assert (booking["status"], booking["finalAmount"], booking["customerName"]) == ("PENDING", "67.50", "Ann Lee")
    assert booking["createdAt"] == booking["updatedAt"]
    assert (await client.get("/bookings")).json() == [booking]
    assert (await client.get(f"/bookings/{booking['id']}")).json() == booking


async def test_a_write_is_captured_by_the_trigger_with_the_trace_of_its_request(
    client: httpx.AsyncClient, gateway_engine: AsyncEngine
) -> None:
    booking = await created(client)
    await client.put(f"/bookings/{booking['id']}", json={"status": "CONFIRMED"})
    await client.delete(f"/bookings/{booking['id']}")

    found = await fetch(gateway_engine, "SELECT CAST(op AS text), traceparent FROM booking_change ORDER BY seq")

    assert [op for op, _ in found] == ["I", "U", "D"]
    assert all(trace.startswith("00-") for _, trace in found)


async def test_a_change_touches_what_is_given_and_updated_at(client: httpx.AsyncClient) -> None:
    before = await created(client)
    answer = await client.put(f"/bookings/{before['id']}", json={"status": "CONFIRMED", "bookingType": "GROUP"})
    after = answer.json()

    assert after["updatedAt"] > before["updatedAt"]
    assert after == {**before, "status": "CONFIRMED", "bookingType": "GROUP", "updatedAt": after["updatedAt"]}


@pytest.mark.parametrize("flags", ["on", "off"])
@pytest.mark.parametrize("body", [{}, {"user": None}])
async def test_a_change_of_nothing_answers_the_booking(
    gateway_engine: AsyncEngine, tmp_path: Path, flags: str, body: dict[str, Any]
) -> None:
    said = tmp_path / "off.json"
    said.write_text('{"flags": {}}')
    layout, path = replace(DEFAULT_LAYOUT, updated_at=None), f"/bookings/{await book(gateway_engine)}"
    async with client_of(gateway_engine, layout, flags=SHIPPED if flags == "on" else said) as client:
        answer = await client.put(path, json=body)

        assert answer.status_code == 200
        assert answer.json() == (await client.get(path)).json()
        assert (await client.put(f"/bookings/{NOBODY}", json=body)).status_code == 404
    assert await fetch(gateway_engine, "SELECT count(*) FROM audit") == [(0,)]


@pytest.mark.parametrize("contact", [None, {}, "text", [1], {"name": "Ann"}])
async def test_a_whole_booking_sent_back_changes_nothing(
    client: httpx.AsyncClient, gateway_engine: AsyncEngine, contact: object
) -> None:
    await execute(gateway_engine, "ALTER TABLE bookings ADD COLUMN seen date, ADD COLUMN local timestamp")
    id_ = await book(gateway_engine, contactDetails=contact, seen="2025-07-01", local="2025-07-01 10:30")
    before = (await client.get(f"/bookings/{id_}")).json()
    after = (await client.put(f"/bookings/{id_}", json=before)).json()

    assert after == {**before, "updatedAt": after["updatedAt"]}


async def test_a_change_of_a_version_somebody_else_changed_since_is_refused(
    client: httpx.AsyncClient, gateway_engine: AsyncEngine
) -> None:
    path = f"/bookings/{(await created(client))['id']}"
    seen = (await client.get(path)).headers["ETag"]
    await execute(gateway_engine, "UPDATE bookings SET user_id = gen_random_uuid()")  # no change of the booking
    first = await client.put(path, json={"status": "CONFIRMED"}, headers={"If-Match": f'"else", {seen}'})
    late = await client.put(path, json={"status": "CANCELLED"}, headers={"If-Match": seen})

    assert first.status_code == 200
    assert (late.status_code, late.json()) == (412, {"error": "The booking has been changed meanwhile"})
    assert (await client.get(path)).json()["status"] == "CONFIRMED"
    assert (await client.put(path, json={"status": "PAID"}, headers={"If-Match": "*"})).status_code == 200
    gone = await client.put(f"/bookings/{NOBODY}", json={"status": "PAID"}, headers={"If-Match": seen})
    assert gone.status_code == 404


async def test_a_deleted_booking_is_gone(client: httpx.AsyncClient) -> None:
    id_ = (await created(client))["id"]

    assert (await client.delete(f"/bookings/{id_}")).json() == {"success": True}
    assert (await client.get("/bookings")).json() == []
    assert (await client.delete(f"/bookings/{id_}")).status_code == 404


@pytest.mark.parametrize("id_", [NOBODY, "temp-123", "%00", "42"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_unknown_booking_is_not_found(client: httpx.AsyncClient, method: str, id_: str) -> None:
    answer = await client.request(method, f"/bookings/{id_}", json={"status": "PAID"})

    assert (answer.status_code, answer.json()) == (404, {"error": "Booking not found"})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "contactDetails: Field required"),
        ({**NEW, "contactDetails": "Ann"}, "contactDetails: Input should be a valid dictionary"),
        ({**NEW, "finalAmount": "-1"}, "finalAmount: Input should be greater than or equal to 0"),
        ({**NEW, "finalAmount": "a lot"}, "finalAmount: Input should be a valid decimal"),
        ({**NEW, "finalAmount": "1.005"}, "finalAmount: Decimal input should have no more than 2 decimal places"),
        ({**NEW, "id": "7"}, "invalid input syntax for type uuid"),
        ({**NEW, 'status"; DROP': 1}, 'Unknown field: status"; DROP'),
        ({**NEW, "invoiceDetails": "\x00"}, "unsupported Unicode escape sequence"),
        ([], "body: Input should be a valid dictionary"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_in_the_legacy_form(
    client: httpx.AsyncClient, body: object, sentence: str
) -> None:
    answer = await client.post("/bookings", json=body)

    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize("levels", [260, 900])
async def test_a_body_nested_deeper_than_can_be_written_is_refused(client: httpx.AsyncClient, levels: int) -> None:
    deep = '{"contactDetails": {"a": ' + "[" * levels + "]" * levels + "}}"
    answer = await client.post("/bookings", content=deep, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()) == (400, {"error": "The body is nested too deeply"})


async def test_a_refusal_of_the_table_does_not_repeat_the_row(
    client: httpx.AsyncClient, gateway_engine: AsyncEngine
) -> None:
    id_ = await book(gateway_engine, participants=[{"medicalNotes": "peanuts"}])
    await execute(gateway_engine, "ALTER TABLE bookings ADD CONSTRAINT known CHECK (status IN ('PENDING', 'PAID'))")
    answer = await client.put(f"/bookings/{id_}", json={"status": "ODD"})

    assert answer.status_code == 400
    assert answer.json() == {"error": 'new row for relation "bookings" violates check constraint "known"'}


async def test_a_reference_is_taken_once(client: httpx.AsyncClient) -> None:
    await created(client, bookingReference="R1")

    assert (await client.post("/bookings", json={**NEW, "bookingReference": "R1"})).status_code == 409


async def test_an_id_cannot_be_changed(client: httpx.AsyncClient) -> None:
    id_ = (await created(client))["id"]

    assert (await client.put(f"/bookings/{id_}", json={"id": NOBODY})).status_code == 400


async def test_the_user_of_a_booking_cannot_be_set_from_outside(client: httpx.AsyncClient) -> None:
    booking = await created(client, user_id=NOBODY, user={"id": NOBODY})

    assert booking["user"] is None


async def test_the_total_is_counted_before_the_limit(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await created(client)
    answer = await client.get("/bookings", params={"limit": 1, "search": "ann"})

    assert (len(answer.json()), answer.headers["X-Total-Count"]) == (1, "3")
    assert (await client.get("/bookings", params={"limit": 0})).status_code == 400


async def test_a_legacy_column_added_meanwhile_is_passed_through(
    client: httpx.AsyncClient, gateway_engine: AsyncEngine
) -> None:
    await execute(gateway_engine, "ALTER TABLE bookings ADD COLUMN discount numeric(5,2) DEFAULT 1.5")

    assert (await created(client, discount=2))["discount"] == "2.00"


@pytest.mark.parametrize(
    ("before", "becomes", "shown"),
    [
        ("integer DEFAULT 5", "text USING 'five'", "five"),
        ("integer DEFAULT 5", "jsonb USING to_jsonb('five'::text)", "five"),
        ("jsonb DEFAULT '5'", "text USING 'five'", "five"),
        ("numeric DEFAULT 5", "text USING 'a \"five\"'", 'a "five"'),
        ("date DEFAULT '2025-01-31'", "text USING 'five'", "five"),
        ("timestamptz DEFAULT now()", "text USING 'five'", "five"),
        ("boolean DEFAULT true", "text USING 'five'", "five"),
        ("integer[] DEFAULT '{5}'", "text USING 'five'", "five"),
    ],
)
async def test_a_column_that_changes_its_type_or_goes_fails_no_answer(
    gateway_engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    before: str,
    becomes: str,
    shown: object,
) -> None:
    monkeypatch.setattr(legacy_table, "_KEEP_SECONDS", 3600)  # nothing but the failing statement tells
    off = tmp_path / "off.json"
    off.write_text('{"flags": {}}')
    await execute(gateway_engine, f"ALTER TABLE bookings ADD COLUMN odd {before}")
    id_ = await book(gateway_engine)
    path, page = f"/bookings/{id_}", "/bookings?limit=1"
    async with client_of(gateway_engine) as new, client_of(gateway_engine, flags=off) as old:
        asked = [(client, path_) for client in (new, old) for path_ in (page, path)]
        for client, path_ in asked:
            assert (await client.get(path_)).status_code == 200
        await execute(gateway_engine, f"ALTER TABLE bookings ALTER odd DROP DEFAULT, ALTER odd TYPE {becomes}")
        for client, path_ in asked:
            answer = (await client.get(path_)).json()
            assert (answer if isinstance(answer, dict) else answer[0])["odd"] == shown
        await execute(gateway_engine, "ALTER TABLE bookings DROP COLUMN odd")
        changed = [await client.put(path, json={"status": "PAID"}) for client in (new, old)]
        for answer in [*changed, *[await client.get(path_) for client, path_ in asked]]:
            assert answer.status_code == 200
            assert "odd" not in answer.text


async def test_a_missing_legacy_table_is_said_in_the_legacy_form(
    client: httpx.AsyncClient, gateway_engine: AsyncEngine
) -> None:
    await execute(gateway_engine, "DROP TABLE bookings")
    answer = await client.get("/bookings")

    assert answer.status_code == 503
    assert "There is no table 'bookings'" in answer.json()["error"]


@pytest.mark.parametrize(
    "query", ["search=%00", "status=%00", f"limit={10**20}", f"offset={10**20}", "search=a%00b&limit=1"]
)
@pytest.mark.parametrize("path", ["/bookings", "/bookings/export"])
async def test_what_the_database_cannot_hold_is_refused(client: httpx.AsyncClient, path: str, query: str) -> None:
    if path.endswith("export") and "\x00" not in httpx.QueryParams(query).get("search", ""):
        query = "status=%00"
    answer = await client.get(f"{path}?{query}")

    assert (answer.status_code, list(answer.json())) == (400, ["error"])
