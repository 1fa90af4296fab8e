"""The old path gives the old server's answers by a way of its own: held to the same recordings as the new one."""

from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.layouts import PRESETS
from bookings_gateway.legacy_table import find
from bookings_gateway.rollout.old_path import old_row, old_rows
from support import javascript
from support.legacy_recordings import GOLDEN, SCENES
from support.legacy_rows import create_and_fill

LONDON = ZoneInfo("Europe/London")


@pytest.mark.parametrize("name", SCENES)
async def test_every_row_is_what_the_old_server_answered(gateway_engine: AsyncEngine, name: str) -> None:
    scene = SCENES[name]
    async with gateway_engine.begin() as connection:
        await connection.execute(text("DROP TABLE bookings"))
    url = gateway_engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    await create_and_fill(url, scene.rows, scene.table)
    recorded = javascript.read((GOLDEN / f"{name}.json").read_text())

    async with gateway_engine.connect() as connection:
        table = await find(connection, "bookings", PRESETS[name])
        everything = [javascript.read(row) for row in await old_rows(connection, table, LONDON)]
        page = [javascript.read(row) for row in await old_rows(connection, table, LONDON, limit=3)]
        one = await old_row(connection, table, LONDON, scene.some_id)

    differing = {
        key: (was[key], becomes[key])
        for was, becomes in zip(recorded["list"], everything, strict=True)
        for key in was.keys() | becomes.keys()
        if not javascript.same(was[key], becomes[key])
    }
    assert differing == {}
    assert javascript.same(recorded["page"], page)
    assert one is not None
    assert javascript.same(recorded["one"], javascript.read(one))
