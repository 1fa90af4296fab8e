"""A backup is what was there at one moment, proved by restoring it; on it the way there and back is rehearsed."""

import json
from pathlib import Path

import pytest

from bookings_gateway.history.backup import back_up
from bookings_gateway.history.rehearse import rehearse
from bookings_gateway.history.report import is_genuine, markdown, report, signed
from local_stack.postgres import installation
from support.databases import Databases
from support.history import moving
from support.legacy_history import facts
from support.legacy_table import MIGRATIONS

KEY = "a-key-the-operator-keeps"


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(installation() / "bin"), prepend=":")


async def test_backup_rehearsal_and_report_of_a_move(databases: Databases, tmp_path: Path) -> None:
    async with moving(databases, "default", facts(80, seed=51)) as moved:
        url = moved.gateway.url.set(drivername="postgresql").render_as_string(hide_password=False)
        backup = await back_up(moved.history, url, tmp_path)
        evidence = await rehearse(moved.history, url, backup, MIGRATIONS)
        await moved.import_all()
        await moved.settle()
        verification = await moved.verified()
        said = signed(await report(moved.history, verification, by="Olga"), KEY)

    assert backup.manifest["restored"] is True
    assert json.loads(backup.dump.with_suffix(".json").read_text()) == backup.manifest
    assert evidence["passed"] is True
    assert {check.name for check in verification.checks if not check.passed} == {"V12"}
    assert is_genuine(said, KEY)
    assert not is_genuine({**said, "exit_code": 0}, KEY)
    assert not is_genuine(said, "another key of somebody")
    assert "V5" in markdown(said)
