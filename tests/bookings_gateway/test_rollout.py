"""Who gets which answer; what is not sure is old; and no difference between the two stays hidden."""

import asyncio
import json
import os
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from bookings_gateway import cli_shadow, listing
from bookings_gateway.access.actor import Actor, Role
from bookings_gateway.domain import DEFAULT_LAYOUT
from bookings_gateway.install import install
from bookings_gateway.legacy_table import find, quoted
from bookings_gateway.listing import Filter
from bookings_gateway.rollout.compare import ADDED, Difference
from bookings_gateway.rollout.flags import SHIPPED, Flag, Flags, NotThere
from bookings_gateway.rollout.report import report
from bookings_gateway.rollout.shadow import Shadow
from bookings_gateway.wire import json_text as right_json_text
from support.gateway import settings
from support.legacy_gateway import SOMEBODY, client_of, rollout_of
from support.legacy_rows import TABLE, create_and_fill, every_kind
from support.legacy_table import book, execute, fetch
from support.waiting import eventually

NEW = {"contactDetails": {"firstName": "Ann"}, "finalAmount": "67.50"}


def staff(number: int, role: Role = Role.STAFF) -> Actor:
    return Actor(UUID(int=number), "ann@office.example", role)


def write(path: Path, **flags: Any) -> Path:
    """Write a flag file; a value is what a flag says, or its targeting."""
    defined = {
        name.replace("_", "-"): {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "off" if isinstance(said, dict) else said,
            **({"targeting": said} if isinstance(said, dict) else {}),
        }
        for name, said in flags.items()
    }
    path.write_text(json.dumps({"flags": defined}))
    return path


def test_as_shipped_everything_is_on() -> None:
    flags = Flags(SHIPPED)

    assert all(flags.is_on(flag, staff(1)) for flag in Flag)


def test_nobody_is_on_the_new_path_without_being_somebody() -> None:
    assert not any(Flags(SHIPPED).is_on(flag, None) for flag in Flag)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"flags": 7}',
        '{"flags": {"legacy-enrichment": {}}}',
        "{}",
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_broken_file_means_the_old_path(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "flags.json", legacy_enrichment="on")
    flags = Flags(path)
    assert flags.is_on(Flag.ENRICHMENT, staff(1))
    path.write_text(content)
    flags.reload()

    assert not any(flags.is_on(flag, staff(1)) for flag in Flag)
    path.unlink()
    flags.reload()
    assert not any(flags.is_on(flag, staff(1)) for flag in Flag)
    write(path, legacy_enrichment="on")
    flags.reload()
    assert flags.is_on(Flag.ENRICHMENT, staff(1))


def test_a_role_and_a_sticky_share_of_ids_can_be_chosen(tmp_path: Path) -> None:
    share = {"fractional": [["on", 30], ["off", 70]]}
    path = write(tmp_path / "flags.json", new_endpoints={"if": [{"==": [{"var": "role"}, "admin"]}, "on", share]})
    flags, again = Flags(path), Flags(path)
    people = [staff(number) for number in range(500)]

    chosen = [person for person in people if flags.is_on(Flag.NEW_ENDPOINTS, person)]

    assert 100 < len(chosen) < 200
    assert chosen == [person for person in people if again.is_on(Flag.NEW_ENDPOINTS, person)]
    assert all(flags.is_on(Flag.NEW_ENDPOINTS, staff(number, Role.ADMIN)) for number in range(50))


def test_a_flag_that_depends_on_the_time_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    late = {"if": [{">": [{"var": "$flagd.timestamp"}, 1010]}, "on", "off"]}
    flags = Flags(write(tmp_path / "flags.json", new_endpoints=late))

    assert not flags.is_on(Flag.NEW_ENDPOINTS, staff(1))
    now[0] = 1012
    assert flags.is_on(Flag.NEW_ENDPOINTS, staff(1))


async def test_a_new_endpoint_is_not_there_while_it_is_off(tmp_path: Path) -> None:
    class Asked:
        class state:  # noqa: N801 - as a request has it
            actor = staff(1)

    await Flags(SHIPPED).require_new_endpoints(Asked)  # type: ignore[arg-type]
    with pytest.raises(NotThere):
        await Flags(write(tmp_path / "flags.json")).require_new_endpoints(Asked)  # type: ignore[arg-type]


async def test_switched_off_every_answer_is_the_old_one(gateway_engine: AsyncEngine, tmp_path: Path) -> None:
    off = write(tmp_path / "flags.json", legacy_enrichment="off")
    async with client_of(gateway_engine, flags=off) as old, client_of(gateway_engine) as new:
        made = (await old.post("/bookings", json=NEW)).json()
        path = f"/bookings/{made['id']}"
        changed = (await old.put(path, json={"status": "PAID"})).json()
        answers = [made, changed, (await old.get(path)).json(), *(await old.get("/bookings")).json()]
        full = (await new.get(path)).json()

        assert all(not ADDED & answer.keys() for answer in answers)
        assert {key: full[key] for key in changed} == changed
        assert full.keys() - changed.keys() == ADDED
        assert (await old.get("/bookings/00000000-0000-4000-8000-000000000001")).status_code == 404


async def test_switched_off_nothing_needs_the_read_model(gateway_engine: AsyncEngine, tmp_path: Path) -> None:
    off = write(tmp_path / "flags.json", legacy_enrichment="off")
    for table in ("customer", "booking_user", "booking_payment"):
        await execute(gateway_engine, f"ALTER TABLE gateway.{table} RENAME TO gone_{table}")
    async with client_of(gateway_engine, flags=off) as client:
        made = await client.post("/bookings", json={**NEW, "createdAt": "2025-07-01T10:30:00+01:00"})
        path = f"/bookings/{made.json()['id']}"
        changed = await client.put(path, json={"status": "PAID"})
        export = await client.get("/bookings/export")

        assert [made.status_code, changed.status_code, export.status_code] == [201, 200, 200]
        assert made.json()["createdAt"] == "2025-07-01T09:30:00.000Z"
        assert changed.json() == (await client.get(path)).json() == (await client.get("/bookings")).json()[0]
        assert "paymentStatus" not in export.text.splitlines()[0]
        assert (await client.delete(path)).status_code == 200


async def test_a_new_listing_says_how_old_what_is_added_is(gateway_engine: AsyncEngine, tmp_path: Path) -> None:
    off = write(tmp_path / "flags.json", legacy_enrichment="off")
    async with client_of(gateway_engine, flags=off) as old, client_of(gateway_engine) as new:
        for path in ("/bookings", "/bookings?limit=1"):
            assert "users=" in (await new.get(path)).headers["X-Read-Model-Heard"]
            assert "X-Read-Model-Heard" not in (await old.get(path)).headers


async def test_each_flip_is_written_down_once(gateway_engine: AsyncEngine, tmp_path: Path) -> None:
    path = write(tmp_path / "flags.json", legacy_enrichment="on")
    flags, replica = Flags(path), Flags(path)
    await flags.record(gateway_engine)
    await replica.record(gateway_engine)
    write(path, legacy_enrichment="off")
    os.utime(path, ns=(1, 1))
    flags.reload()
    await flags.record(gateway_engine)

    found = await fetch(gateway_engine, "SELECT before, after FROM rollout_event WHERE flag = :f ORDER BY id",
                        f=Flag.ENRICHMENT)  # fmt: skip
    assert [(before and json.loads(before)["defaultVariant"], json.loads(after)["defaultVariant"])
            for before, after in found] == [(None, "on"), ("on", "off")]  # fmt: skip


async def test_a_flip_is_in_force_within_two_seconds(gateway_engine: AsyncEngine, tmp_path: Path) -> None:
    path = write(tmp_path / "flags.json", legacy_enrichment="on")
    flags = Flags(path)
    watching = asyncio.create_task(flags.watch(gateway_engine))
    try:
        for said in ("off", "on"):
            write(path, legacy_enrichment=said)
            await eventually(partial(_says, flags, said), seconds=2)
    finally:
        watching.cancel()


async def _says(flags: Flags, said: str) -> bool:
    return flags.is_on(Flag.ENRICHMENT, staff(1)) is (said == "on")


@pytest.fixture
async def every_kind_engine(gateway_engine: AsyncEngine) -> AsyncEngine:
    """A table with every messy kind of row and every type of column."""
    async with gateway_engine.begin() as connection:
        await connection.execute(text("DROP TABLE bookings"))
    url = gateway_engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    await create_and_fill(url, every_kind(), TABLE)
    await install(gateway_engine, "bookings", DEFAULT_LAYOUT)
    return gateway_engine


def shadow_of(engine: AsyncEngine) -> Shadow:
    return rollout_of(engine).shadow


async def test_old_and_new_do_not_differ(every_kind_engine: AsyncEngine) -> None:
    assert await shadow_of(every_kind_engine).compare(every_kind_engine) == []
    async with every_kind_engine.connect() as connection:
        found = await report(connection)

    assert found["compared"]["rows"] == len(list(every_kind()))
    assert (found["compared"]["rowsDifferent"], found["differences"]) == (0, [])


async def test_a_bug_in_any_legacy_key_is_found_and_grouped(
    every_kind_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with every_kind_engine.connect() as connection:
        columns = [name for name in (await find(connection, "bookings", DEFAULT_LAYOUT)).columns if name != "user_id"]
    for column in columns:
        broken = f"b.{quoted(column)}"

        def json_text(expression: str, type_: str, broken: str = broken) -> str:
            return "'\"planted\"'" if broken in expression else right_json_text(expression, type_)

        monkeypatch.setattr(listing, "json_text", json_text)
        found = await shadow_of(every_kind_engine).compare(every_kind_engine)
        expected = {"(row)"} if column == "id" else {column}
        assert {difference.field for difference in found} == expected, column

    async with every_kind_engine.connect() as connection:
        groups = (await report(connection))["differences"]
    assert {group["field"] for group in groups} == {"(row)", *columns} - {"id"}
    assert "planted" not in json.dumps([group for group in groups if group["field"] != "(row)"])
    assert all(len(group["bookingIds"]) <= 5 for group in groups)


async def test_a_key_the_new_answer_lost_or_added_undeclared_is_found(
    gateway_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await book(gateway_engine)
    right = listing._fields
    monkeypatch.setattr(listing, "_fields", lambda *given, **named: right(*given, **named).replace(
        ',"status"', ',"state"'))  # fmt: skip

    found = await shadow_of(gateway_engine).compare(gateway_engine)

    assert {(difference.field, difference.kind) for difference in found} == {
        ("status", "missing"),
        ("state", "unexpected"),
    }


async def test_comparisons_go_through_the_table(gateway_engine: AsyncEngine) -> None:
    for _ in range(250):
        await book(gateway_engine)
    shadow = shadow_of(gateway_engine)
    for _ in range(3):
        await shadow.compare(gateway_engine)

    assert await fetch(gateway_engine, "SELECT comparisons, rows FROM shadow_run") == [(3, 450)]


async def test_a_row_of_which_no_new_answer_can_be_made_is_named_and_the_next_page_is_compared(
    gateway_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(250):
        await book(gateway_engine, status="PAID", createdAt="2025-01-01T00:00:00Z")
    wrong = await book(gateway_engine, status="ODD", createdAt="2025-01-02T00:00:00Z")
    monkeypatch.setattr(listing, "json_text", lambda expression, type_: _failing_where_odd(expression, type_))
    shadow = shadow_of(gateway_engine)
    for _ in range(2):
        await shadow.attempt(gateway_engine)

    async with gateway_engine.connect() as connection:
        found = await report(connection)
    assert (found["compared"]["rows"], found["compared"]["rowsDifferent"]) == (251, 1)
    named = [(group["field"], group["kind"], group["bookingIds"]) for group in found["differences"]]
    assert named == [("(row)", "error", [wrong])]


def _failing_where_odd(expression: str, type_: str) -> str:
    right = right_json_text(expression, type_)
    return (
        f"{right} || left('', 1 / CASE b.status WHEN 'ODD' THEN 0 ELSE 1 END)" if '."status"' in expression else right
    )


async def test_a_new_answer_that_is_no_json_is_a_difference_of_its_row(
    gateway_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = [await book(gateway_engine) for _ in range(2)]
    monkeypatch.setattr(listing, "json_text", lambda expression, type_: (
        "'five'" if '."status"' in expression else right_json_text(expression, type_)))  # fmt: skip

    found = await shadow_of(gateway_engine).compare(gateway_engine)

    assert {(each.booking_id, each.field, each.kind) for each in found} == {(id_, "(row)", "error") for id_ in right}


async def test_comparisons_that_failed_are_in_the_report_and_the_table_is_gone_through_all_the_same(
    gateway_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(250):
        await book(gateway_engine)
    shadow, offsets = shadow_of(gateway_engine), list[int]()

    async def away(_: object, __: object, offset: int) -> tuple[int, list[Difference]]:
        offsets.append(offset)
        if not offset:
            raise TimeoutError
        return 50, []

    monkeypatch.setattr(Shadow, "_compare_page", away)
    for _ in range(3):
        await shadow.attempt(gateway_engine)

    assert offsets == [0, 200, 0]
    async with gateway_engine.connect() as connection:
        assert (await report(connection))["compared"]["failures"] == 1


async def test_the_report_fails_where_nothing_was_compared(
    gateway_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = gateway_engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    monkeypatch.setattr(cli_shadow, "Settings", lambda: settings(url))
    before = await asyncio.to_thread(CliRunner().invoke, cli_shadow.shadow_app, ["report"])
    await book(gateway_engine)
    await shadow_of(gateway_engine).attempt(gateway_engine)
    after = await asyncio.to_thread(CliRunner().invoke, cli_shadow.shadow_app, ["report"])

    assert (before.exit_code, after.exit_code) == (1, 0), (before.output, after.output)


async def test_a_comparison_that_fails_again_and_again_is_given_up_for_a_while(gateway_engine: AsyncEngine) -> None:
    async with gateway_engine.begin() as connection:
        await connection.execute(text("DROP TABLE shadow_run"))
    shadow = shadow_of(gateway_engine)
    for _ in range(3):
        await shadow.attempt(gateway_engine)
    shadow.ask()

    assert not shadow._wanted.is_set()


async def test_only_an_old_answer_asks_for_a_comparison(gateway_engine: AsyncEngine, tmp_path: Path) -> None:
    id_ = await book(gateway_engine)
    for enrichment, asked in [("on", False), ("off", True)]:
        path = write(tmp_path / f"{enrichment}.json", legacy_enrichment=enrichment, shadow_comparison="on")
        listing, one = rollout_of(gateway_engine, flags=path), rollout_of(gateway_engine, flags=path)
        await listing.find(SOMEBODY, Filter(limit=1))
        await one.get(SOMEBODY, id_)
        assert (listing.shadow._wanted.is_set(), one.shadow._wanted.is_set()) == (asked, asked)


async def test_one_booking_is_told_as_in_the_listing_so_that_comparing_pages_compares_it(
    every_kind_engine: AsyncEngine, tmp_path: Path
) -> None:
    off = write(tmp_path / "flags.json", legacy_enrichment="off")
    for rollout in (rollout_of(every_kind_engine), rollout_of(every_kind_engine, flags=off)):
        page, _ = await rollout.find(SOMEBODY, Filter(limit=200))
        rows = json.loads(page)
        assert len(rows) == len(list(every_kind()))
        for row in rows:
            assert json.loads(await rollout.get(SOMEBODY, row["id"])) == row
