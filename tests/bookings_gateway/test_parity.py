"""The gateway answers what the old server answered: recorded by ``make record-legacy`` from that server's own stack."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.domain import Layout
from bookings_gateway.install import install
from bookings_gateway.layouts import PRESETS
from support import javascript
from support.legacy_gateway import client_of
from support.legacy_recordings import GOLDEN, SCENES, Scene, answers
from support.legacy_rows import create_and_fill

ADDED = {"customerName", "customerEmail", "user", "paymentStatus"}


async def asked(engine: AsyncEngine, scene: Scene, layout: Layout) -> dict[str, str]:
    """Lay the scene out under the gateway and ask it what the old server was asked."""
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE bookings"))
    await create_and_fill(
        engine.url.set(drivername="postgresql").render_as_string(hide_password=False), scene.rows, scene.table
    )
    await install(engine, "bookings", layout)
    async with client_of(engine, layout, base_url="http://gateway") as client:
        return await answers(client, scene)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], added: set[str]) -> dict[str, tuple[Any, Any]]:
    """Return key → (old, new) of everything that is not the same; only ``added`` keys may be new."""
    keys = old.keys() | (new.keys() - added)
    absent = object
    return {
        key: (old.get(key, absent), new.get(key, absent))
        for key in keys
        if key not in old or key not in new or not javascript.same(old[key], new[key])
    }


@pytest.mark.parametrize("name", SCENES)
async def test_every_row_and_key_is_what_the_old_server_answered(gateway_engine: AsyncEngine, name: str) -> None:
    scene = SCENES[name]
    recorded = javascript.read((GOLDEN / f"{name}.json").read_text())
    answered = {
        what: javascript.read(body) for what, body in (await asked(gateway_engine, scene, PRESETS[name])).items()
    }
    moments = [answer["changed"].pop(scene.updated_at) for answer in (recorded, answered)]

    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment) for moment in moments)
    for what in ("list", "page"):
        assert [row["id"] for row in answered[what]] == [row["id"] for row in recorded[what]]
        found: dict[str, Any] = {}
        for old, new in zip(recorded[what], answered[what], strict=True):
            found |= differences(old, new, ADDED)
        assert found == {}
        assert all(row.keys() >= ADDED for row in answered[what])
    for what in ("one", "made", "changed", "deleted", "gone"):
        assert differences(recorded[what], answered[what], ADDED) == {}, what


def test_the_recordings_hold_every_kind_of_row() -> None:
    recorded = json.loads((GOLDEN / "default.json").read_text())
    contacts = [row["contactDetails"] for row in recorded["list"]]

    assert {type(contact) for contact in contacts} == {dict, list, str, int, bool, type(None)}
    assert len(recorded["list"]) == len(SCENES["default"].rows)
