"""Whatever layout the legacy table has, the gateway reads the same booking out of it and writes the same back."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.capture import Capture
from bookings_gateway.domain import DEFAULT_LAYOUT, Layout
from bookings_gateway.errors import LegacyTableUnfit
from bookings_gateway.handlers import ReadModelHandler
from bookings_gateway.install import install
from bookings_gateway.layouts import PRESETS, read_layout
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.personal import personal_columns, undecided_columns
from bookings_gateway.write_back import WriteBack
from shared.signal import Signal
from support.apply import apply
from support.events import linked, payment
from support.legacy_gateway import client_of
from support.legacy_layouts import LAYOUTS, LegacyLayout, book_in, lay_out
from support.legacy_table import execute, fetch

ANN = "00000000-0000-4000-8000-00000000000a"
LONDON = "Europe/London"


@dataclass
class Gateway:
    """The gateway on one layout."""

    engine: AsyncEngine
    legacy: LegacyLayout
    client: httpx.AsyncClient

    @property
    def tables(self) -> LegacyTableCache:
        return LegacyTableCache("bookings", self.legacy.layout)

    async def events(self) -> list[tuple[str, Any]]:
        """Capture what there is and return type and data of every event so far."""
        await Capture(Signal(), self.legacy.layout, "GBP", ZoneInfo(LONDON)).capture_page(self.engine, "/gateway")
        return [
            (row[0], row[1])
            for row in await fetch(self.engine, "SELECT type, body -> 'data' FROM event_log ORDER BY seq")
        ]

    async def write_back(self) -> int:
        return await WriteBack(self.tables, Signal(), LONDON).write_due(self.engine)

    async def row(self) -> dict[str, Any]:
        row: dict[str, Any] = (await fetch(self.engine, "SELECT row_to_json(b) FROM bookings b"))[0][0]
        return row


@pytest.fixture(params=LAYOUTS)
async def gateway(gateway_engine: AsyncEngine, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    legacy = LAYOUTS[request.param]
    await lay_out(gateway_engine, legacy)
    async with client_of(gateway_engine, legacy.layout) as client:
        yield Gateway(gateway_engine, legacy, client)


async def test_the_same_booking_makes_the_same_event(gateway: Gateway) -> None:
    id_ = await book_in(gateway.engine, gateway.legacy)

    (type_, data), = await gateway.events()  # fmt: skip

    assert type_ == "booking.created"
    assert data["booking_id"] == id_
    assert data["contact"] == {
        "first_name": "Ann",
        "last_name": "Lee",
        "email": "Ann@Example.com",
        "phone": "0123",
        "company": None,
    }
    assert (data["booking_reference"], data["status"].upper()) == ("R1", "PENDING")
    assert float(data["final_amount"]) == 68
    assert data["created_at"] in {"2025-07-01T10:30:00+01:00", "2025-07-01T09:30:00Z"}


async def test_the_listing_has_every_column_under_its_own_name_and_the_customer(gateway: Gateway) -> None:
    await book_in(gateway.engine, gateway.legacy)

    (booking,) = (await gateway.client.get("/bookings")).json()

    columns = set(await gateway.row()) - {"user_id"}
    assert set(booking) == columns | {"customerName", "customerEmail", "user", "paymentStatus"}
    assert (booking["customerName"], booking["customerEmail"]) == ("Ann Lee", "Ann@Example.com")
    assert booking[gateway.legacy.layout.created_at] == "2025-07-01T09:30:00.000Z"


@pytest.mark.parametrize(("search", "found"), [("ann lee", 1), ("EXAMPLE.com", 1), ("r1", 1), ("bob", 0)])
async def test_the_search_looks_where_the_layout_keeps_things(gateway: Gateway, search: str, found: int) -> None:
    await book_in(gateway.engine, gateway.legacy)

    answer = await gateway.client.get("/bookings", params={"search": search, "status": "Pending", "limit": 5})

    assert (len(answer.json()), answer.headers["X-Total-Count"]) == (found, str(found))


async def test_link_and_payment_are_written_once_and_make_one_event(gateway: Gateway) -> None:
    id_ = await book_in(gateway.engine, gateway.legacy)
    fields = {"method": "card", "stripe_payment_intent_id": "pi_1", "paid_at": "2025-07-02T10:00:00Z"}
    paid = payment("p1", id_)
    paid = paid.model_copy(update={"data": {**paid.data, **fields}})
    await apply(gateway.engine, ReadModelHandler("GBP"), [linked(id_, ANN), paid])
    assert await gateway.write_back() == 2
    assert await gateway.write_back() == 0

    layout, row = gateway.legacy.layout, await gateway.row()
    copied = None if gateway.legacy.triggers else ANN  # where the table's own trigger would change the row with it
    assert (row["user_id"], row[layout.status]) == (copied, layout.paid_status)
    assert row[layout.payment_reference or ""] == "pi_1"
    if layout.payment_status:
        assert (row[layout.payment_status], row[layout.payment_method or ""]) == ("paid", "card")
    assert [type_ for type_, _ in await gateway.events()] == ["booking.created", "booking.updated"]
    (booking,) = (await gateway.client.get("/bookings")).json()
    if layout.payment_date:
        assert booking[layout.payment_date] == "2025-07-02T10:00:00.000Z"


async def test_a_booking_is_made_read_changed_and_deleted(gateway: Gateway) -> None:
    body = {name: value for name, value in gateway.legacy.booking.items() if name != gateway.legacy.layout.created_at}
    if gateway.legacy.layout == PRESETS["lower_case"]:
        body["contactdetails"] = json.loads(body["contactdetails"])
    answer = await gateway.client.post("/bookings", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    path = f"/bookings/{made['id']}"
    changed = (await gateway.client.put(path, json={"notes": "late"})).json()

    assert made["customerName"] == "Ann Lee"
    updated_at = gateway.legacy.layout.updated_at or ""
    assert changed == {**made, "notes": "late", updated_at: changed[updated_at]}
    assert (await gateway.client.get(path)).json() == changed
    assert (await gateway.client.delete(path)).json() == {"success": True}
    assert [type_.split(".")[1] for type_, _ in await gateway.events()] == ["created", "updated", "deleted"]


async def test_a_table_of_another_layout_is_refused_with_the_layout_it_fits(gateway: Gateway) -> None:
    declared = "default" if gateway.legacy.layout != DEFAULT_LAYOUT else "snake_case"

    with pytest.raises(LegacyTableUnfit, match=r"has no column .* BOOKINGS_GATEWAY_LEGACY_LAYOUT") as refusal:
        await install(gateway.engine, "bookings", PRESETS[declared])

    fits = next(name for name, layout in PRESETS.items() if layout == gateway.legacy.layout)
    assert f"It fits the layout {fits}:" in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ('ALTER TABLE bookings ALTER "contactDetails" TYPE bytea USING NULL', "contactDetails .* must be jsonb, json"),
        ('ALTER TABLE bookings ALTER "createdAt" DROP DEFAULT, ALTER "createdAt" TYPE text', "createdAt .* is text"),
        ("ALTER TABLE bookings DROP user_id, ADD user_id integer", "user_id of type integer already"),
    ],
)
async def test_a_column_of_an_unfit_type_is_refused(gateway_engine: AsyncEngine, change: str, sentence: str) -> None:
    await execute(gateway_engine, change)

    with pytest.raises(LegacyTableUnfit, match=sentence):
        await install(gateway_engine, "bookings", DEFAULT_LAYOUT)


async def test_our_column_may_have_another_name(gateway_engine: AsyncEngine) -> None:
    await execute(gateway_engine, "ALTER TABLE bookings DROP user_id, ADD user_id integer")

    assert await install(gateway_engine, "bookings", Layout(user_id="customer_id")) == [
        "column customer_id",
        "index on customer_id",
    ]


def test_a_file_declares_what_differs_from_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "layout.toml"
    path.write_text('extends = "snake_case"\nemail = false\npayment_date = "paid_on"\n')

    layout = read_layout(str(path))

    assert (layout.email, layout.payment_date, layout.reference) == (None, "paid_on", "booking_reference")


def test_a_file_declares_which_columns_tell_of_people_and_which_do_not(tmp_path: Path) -> None:
    path = tmp_path / "layout.toml"
    path.write_text('extends = "lower_case"\npersonal = ["loyalty_card"]\nharmless = ["town"]\n')
    columns = {"contactdetails": "text", "LoyaltyCard": "integer", "town": "text", "medicalnotes": "text"}

    layout = read_layout(str(path))

    assert personal_columns(columns, layout) == ["contactdetails", "LoyaltyCard", "medicalnotes"]
    assert undecided_columns(columns, layout) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('extends = "camel"', "extends 'camel', which is none of default"),
        ('colour = "red"', "names colour, which is none of company"),
        ("id = false", "must name a column for id"),
        ("phone = 7", "must name a column for phone, or say false"),
        ("phone", "cannot be read"),
        ('personal = "remarks"', "must say personal as a list"),
        ('harmless = [""]', "must say harmless as a list"),
    ],
)
def test_a_file_that_declares_no_layout_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "layout.toml"
    path.write_text(content)

    with pytest.raises(ValueError, match=sentence):
        read_layout(str(path))


@pytest.mark.parametrize("declared", ["camel", "no/such/file.toml", "layout.yaml"])
def test_a_layout_that_is_not_there_is_refused(declared: str) -> None:
    with pytest.raises(ValueError, match=declared):
        read_layout(declared)
