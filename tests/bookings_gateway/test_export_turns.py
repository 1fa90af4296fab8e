"""However slowly exports are read, the rest of the API has its database connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.types import Message

from bookings_gateway.export_turns import EXPORTS
from support.databases import Databases
from support.gateway import Gateway, gateway
from support.staff import bearer
from support.waiting import eventually

POOL = 8
AT_ONCE = POOL // 4


class SlowReader:
    """Downloads an export, and stops reading after the first bytes."""

    def __init__(self, whole: Gateway, path: str, headers: dict[str, str]) -> None:
        self._reads_on = asyncio.Event()
        self.status = 0
        self.has_begun = False
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.1", 1),
            "server": ("gateway", 80),
            "state": {},
        }
        self.task = asyncio.create_task(whole.app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.has_begun = True
            await self._reads_on.wait()

    async def begins(self) -> None:
        """Wait until the first bytes have come."""

        async def has_begun() -> bool:
            return self.has_begun or self.task.done()

        await eventually(has_begun, what="the export's first bytes")
        assert self.status == 200

    async def read_on(self) -> None:
        self._reads_on.set()
        await self.task


@pytest.fixture(scope="module")
async def whole(gateway_databases: Databases) -> AsyncIterator[Gateway]:
    url = await gateway_databases.create("bookings_gateway")
    async with gateway(url, database_pool=POOL) as running:
        yield running


@asynccontextmanager
async def staff(whole: Gateway) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str]]]:
    headers = await bearer(whole.engine)
    async with whole.client(headers=headers) as client:
        yield client, headers


@pytest.mark.parametrize("path", sorted(EXPORTS))
async def test_one_export_too_many_is_asked_to_come_again_and_everything_else_answers(
    whole: Gateway, path: str
) -> None:
    async with staff(whole) as (client, headers):
        slow = [SlowReader(whole, each, headers) for each in [*sorted(EXPORTS)][:AT_ONCE]]
        for reader in slow:
            await reader.begins()
        refused = await client.get(f"http://gateway{path}")
        others = await asyncio.gather(*(client.get(each) for each in ["/users", "/payments", "/bookings"] * 4))

        await slow[0].read_on()
        admitted = await client.get(f"http://gateway{path}")
        await slow[1].read_on()

    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert ("error" if "bookings" in path else "detail") in refused.json()
    assert {answer.status_code for answer in others} == {200}
    assert admitted.status_code == 200


async def test_a_client_that_goes_away_gives_its_turn_back(whole: Gateway) -> None:
    async with staff(whole) as (client, headers):
        for _ in range(AT_ONCE + 1):
            reader = SlowReader(whole, "/api/admin/users/export", headers)
            await reader.begins()
            reader.task.cancel()
            await asyncio.gather(reader.task, return_exceptions=True)
        assert (await client.get("/users/export")).status_code == 200
