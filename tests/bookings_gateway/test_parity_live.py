"""The gateway beside the running old server, over every messy kind of row in every mixture: ``make test-long``."""

import json
import os

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.domain import DEFAULT_LAYOUT
from bookings_gateway.install import install
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.listing import Filter
from bookings_gateway.service import Bookings
from shared.signal import Signal
from support import javascript
from support.express import express
from support.legacy_recordings import LISTING
from support.legacy_rows import create_and_fill, mixed

ROWS = int(os.environ.get("LEGACY_ROWS", "0"))
ADDED = frozenset(["customerName", "customerEmail", "user", "paymentStatus"])


@pytest.mark.skipif(not ROWS, reason="needs Node.js: make test-long")
async def test_every_key_of_every_row_is_what_the_running_old_server_answers(gateway_engine: AsyncEngine) -> None:
    async with gateway_engine.begin() as connection:
        await connection.execute(text("DROP TABLE bookings"))
    url = gateway_engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    await create_and_fill(url, mixed(ROWS))
    async with express(url) as server, httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        old = javascript.read((await client.get(LISTING)).text)
    await install(gateway_engine, "bookings", DEFAULT_LAYOUT)
    tables = LegacyTableCache("bookings", DEFAULT_LAYOUT)
    bookings = Bookings(gateway_engine, tables, Signal(), currency="GBP", zone="Europe/London")
    new = javascript.read((await bookings.find(Filter())).body.decode())

    assert len(old) == len(new) == ROWS
    differing = {
        key: (was.get(key), becomes.get(key))
        for was, becomes in zip(old, new, strict=True)
        for key in was.keys() | (becomes.keys() - ADDED)
        if key not in was or key not in becomes or not javascript.same(was[key], becomes[key])
    }
    assert differing == {}, json.dumps(differing)
