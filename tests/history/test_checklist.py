"""The customer's checklist, done as commands; the clean-up after it, which removes what it says and nothing else."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bookings_gateway.history.checklist import STEPS, Look, do_step, missing_steps, step_named
from bookings_gateway.history.contract import contract
from bookings_gateway.history.desk import ErrorDesk
from bookings_gateway.history.errors import NotReady
from bookings_gateway.history.gates import require_ready
from bookings_gateway.history.report import report, signed
from bookings_gateway.history.steps import latest_steps, note_step
from bookings_gateway.history.verify import verified
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_history import facts

KEY = "a-key-the-operator-keeps"
AT_ONCE = timedelta(0)


@pytest.fixture
async def moved(databases: Databases) -> AsyncIterator[Moved]:
    async with moving(databases, "default", facts(70, seed=91)) as moved:
        yield moved


async def do(moved: Moved, step: str, *, name: str | None = None, note: str | None = None) -> bool:
    async with moved.asking() as others:
        return (await do_step(Look(moved.history, others), step_named(step), name=name, note=note))[0]


async def finish(moved: Moved) -> None:
    """Import all, decide on what was set aside, and rehearse."""
    await moved.import_all()
    await moved.settle()
    desk = ErrorDesk(moved.history)
    await desk.waive([row["id"] for row in await desk.find(states=["set_aside"])], by="Olga", reason="samples")
    await note_step(moved.gateway, "rehearse", passed=True, evidence={})
    await note_step(moved.gateway, "backup", passed=True, evidence={})


async def signed_report(moved: Moved) -> dict[str, Any]:
    return signed(await report(moved.history, await moved.verified(), by="Olga"), KEY)


async def contents(moved: Moved) -> dict[str, object]:
    """Rows and hash of every table of every service."""
    found: dict[str, object] = {}
    for service in moved.engines:
        named = """
            SELECT schemaname || '.' || tablename AS name FROM pg_tables
            WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
        """
        for table in [row["name"] for row in await moved.rows(service, named)]:
            hashed = f"SELECT count(*), md5(string_agg(CAST(t AS text), '' ORDER BY CAST(t AS text))) FROM {table} t"  # noqa: S608
            (row,) = await moved.rows(service, hashed)
            found[f"{service}: {table}"] = tuple(row.values())
    return found


async def test_a_step_runs_its_evidence(moved: Moved) -> None:
    assert not await do(moved, "backed-up")
    await finish(moved)
    before = await moved.checksum()

    for step in ("backed-up", "rehearsed", "preflight", "imported", "verified", "error-logs", "all-linked"):
        assert await do(moved, step), step
    assert await do(moved, "payments-recorded")
    await moved.rows("payments", "UPDATE payment SET received = received + 1 WHERE received > 0")
    assert not await do(moved, "payments-recorded")
    assert "payments-recorded" in await missing_steps(moved.history)
    assert await moved.checksum() == before


async def test_what_only_a_person_can_say_wants_a_name_and_a_note(moved: Moved) -> None:
    with pytest.raises(NotReady, match="add --name and --note"):
        await do(moved, "team-told", name="Olga")
    with pytest.raises(NotReady, match="add --name and --note"):
        await do(moved, "team-told", name=" ", note="mail of Monday")
    with pytest.raises(NotReady, match="The steps are backed-up,"):
        await do(moved, "no-such-step")

    assert await do(moved, "team-told", name="Olga", note="mail of Monday")
    async with moved.gateway.connect() as connection:
        said = (await latest_steps(connection))["team-told"]
    assert (said["passed"], said["name"], said["note"]) == (True, "Olga", "mail of Monday")


async def test_the_clean_up_wants_everything_and_removes_what_it_says_alone(moved: Moved) -> None:
    await finish(moved)
    said = await signed_report(moved)
    assert said["exit_code"] == 0

    with pytest.raises(NotReady, match="or was changed since"):
        await contract(moved.history, {**said, "made_by": "Eve"}, KEY, by="Eve", least_age=AT_ONCE)
    unsigned = {name: said[name] for name in said if name != "signature"}
    old = signed({**unsigned, "made_at": "2024-01-01T00:00:00+00:00"}, KEY)
    with pytest.raises(NotReady, match="not older than a day"):
        await contract(moved.history, old, KEY, by="Olga", least_age=AT_ONCE)
    with pytest.raises(NotReady, match="Steps of the checklist are missing"):
        await contract(moved.history, said, KEY, by="Olga", least_age=AT_ONCE)
    for step in STEPS:
        await note_step(moved.gateway, step.name, passed=True, evidence={})
    with pytest.raises(NotReady, match="stays open for 14"):
        await contract(moved.history, said, KEY, by="Olga")
    before = await contents(moved)

    await contract(moved.history, said, KEY, by="Olga", least_age=AT_ONCE)

    after = await contents(moved)
    changed = {table for table in before if before[table] != after[table]}
    assert changed <= {
        f"bookings-gateway: gateway.{name}" for name in ("import_chunk", "import_item", "migration_step")
    }
    assert after["bookings-gateway: gateway.import_chunk"] == (0, None)
    items = "SELECT count(*) FROM import_item WHERE outcome = 'published' AND num_nonnulls(detail, correction) > 0"
    assert await moved.value("bookings-gateway", items) == 0
    assert (await moved.verified()).passed
    with pytest.raises(NotReady, match="clean-up was done"):
        await moved.take_back()
    with pytest.raises(NotReady, match="clean-up was done"):
        await ErrorDesk(moved.history).correct("a", {}, by="Olga", reason="late")


async def test_an_import_without_a_restored_backup_is_warned_of_and_kept_and_one_without_trigger_refused(
    moved: Moved,
) -> None:
    assert not await do(moved, "backed-up")
    assert "Nothing was backed up" in (await require_ready(moved.history, by="Olga") or "")
    async with moved.gateway.connect() as connection:
        said = (await latest_steps(connection))["without-backup"]
    assert (said["name"], said["passed"]) == ("Olga", False)

    await note_step(moved.gateway, "backup", passed=True, evidence={"restored": True})
    assert await require_ready(moved.history, by="Olga") is None
    await moved.rows("bookings-gateway", "ALTER TABLE bookings DISABLE TRIGGER USER")
    with pytest.raises(NotReady, match="missing or off"):
        await require_ready(moved.history, by="Olga")


async def test_the_outcome_of_a_verification_is_kept(moved: Moved) -> None:
    await finish(moved)
    async with moved.asking() as others:
        assert (await verified(moved.history, others)).passed
        await moved.rows("bookings-gateway", "DELETE FROM import_item WHERE class = 'recorded'")
        assert not (await verified(moved.history, others)).passed

    kept = await moved.rows("bookings-gateway", "SELECT passed FROM migration_step WHERE step = 'verify' ORDER BY id")
    assert [row["passed"] for row in kept] == [True, False]
