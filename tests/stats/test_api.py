"""The read API as the gateway uses it."""

import base64
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.problems import answer_errors
from stats import api
from stats.handlers import JournalHandler
from stats.settings import Settings
from support.apply import apply
from support.bearer import BEARER, TOKEN
from support.events import booking, linked, merged, payment, registered

ANN = "0190a000-0000-7000-8000-00000000000a"
BOB = "0190a000-0000-7000-8000-00000000000b"
HISTORY = [
    registered(ANN),
    registered(BOB),
    *(booking(f"b{n}", amount="10.00") for n in range(4)),
    *(linked(f"b{n}", ANN if n < 3 else BOB) for n in range(4)),
    payment("p1", "b0", received=1000),
    payment("p1", "b0", 2, received=1000, refunded=250),
]


@pytest.fixture
async def client(stats_engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    await apply(stats_engine, JournalHandler("/stats"), HISTORY)
    app = FastAPI()
    settings = Settings.model_validate(
        {"database_url": "postgresql://unused", "amqp_url": "amqp://unused", "internal_token": TOKEN}
    )
    app.include_router(api.create_router(stats_engine, settings))
    answer_errors(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://stats", headers=BEARER) as http:
        yield http


async def get(client: httpx.AsyncClient, path: str, code: int = 200, **params: Any) -> Any:
    response = await client.get(f"/internal/users/{path}", params=params)
    assert response.status_code == code, response.text
    return response.json()


async def pages(client: httpx.AsyncClient, user: str, **params: Any) -> list[Any]:
    items, after = [], None
    while True:
        page = await get(client, f"{user}/activity", **params, **({"after": after} if after else {}))
        items += page["items"]
        after = page["next"]
        if not after:
            return items


async def test_totals_come_by_ids_and_strangers_are_absent(client: httpx.AsyncClient) -> None:
    totals = await get(client, "totals", ids=[ANN, BOB, str(uuid4())])

    assert {user: line["total_bookings"] for user, line in totals.items()} == {ANN: 3, BOB: 1}
    assert totals[ANN]["currencies"] == [
        {
            "currency": "GBP",
            "total_spent": "30.00",
            "total_paid": "10.00",
            "total_refunded": "2.50",
            "total_disputed": "0.00",
            "net_paid": "7.50",
        }
    ]
    await get(client, f"{uuid4()}/totals", 404)


async def test_a_merged_user_is_answered_for_by_whom_it_counts_as_and_an_unmerge_restores_it(
    client: httpx.AsyncClient, stats_engine: AsyncEngine
) -> None:
    before = await get(client, "totals", ids=[ANN, BOB])
    await apply(stats_engine, JournalHandler("/stats"), [merged(BOB, ANN)])

    assert (await get(client, f"{BOB}/totals")) == (await get(client, f"{ANN}/totals"))
    assert (await get(client, f"{BOB}/totals"))["total_bookings"] == 4
    assert await pages(client, BOB) == await pages(client, ANN, limit=3)

    await apply(stats_engine, JournalHandler("/stats"), [merged(BOB, None, 2)])
    after = await get(client, "totals", ids=[ANN, BOB])
    assert {user: line["currencies"] for user, line in after.items()} == {
        user: line["currencies"] for user, line in before.items()
    }


async def test_activity_comes_page_by_page_newest_first_filtered_by_kind_and_time(client: httpx.AsyncClient) -> None:
    everything = await pages(client, ANN, limit=500)
    assert len(everything) == 1 + 3 + 3 + 2
    assert everything == sorted(everything, key=lambda line: (line["time"], line["event_id"]), reverse=True)
    for limit in (1, 2, 4):
        assert await pages(client, ANN, limit=limit) == everything
    payments = await pages(client, ANN, kind=["payment.refunded", "payment.succeeded"])
    assert [(line["kind"], line["amount"], line["payment_id"]) for line in payments] == [
        ("payment.refunded", "2.50", "p1"),
        ("payment.succeeded", "10.00", "p1"),
    ]
    newest = everything[0]["time"]
    assert await pages(client, ANN, since=newest) + await pages(client, ANN, until=newest) == everything
    await get(client, f"{ANN}/activity", 422, after="nonsense")


@pytest.mark.parametrize(
    "params",
    [
        {"since": "0001-01-01T00:00:00+14:00"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"since": "2026-01-01T00:00:00"},
        {"kind": "a\x00b"},
        {"after": base64.urlsafe_b64encode(f"0001-01-01T00:00:00+14:00 {ANN}".encode()).decode()},
    ],
)
async def test_what_no_calendar_or_database_holds_is_refused(client: httpx.AsyncClient, params: dict[str, str]) -> None:
    await get(client, f"{ANN}/activity", 422, **params)
