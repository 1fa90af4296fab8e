"""A backup is what was there at one moment, proved by restoring it; on it the way there and back is rehearsed."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bookings_gateway.cli import app
from bookings_gateway.history.backup import back_up
from bookings_gateway.history.programs import BackupFailed
from bookings_gateway.history.rehearse import rehearse
from bookings_gateway.history.report import is_genuine, markdown, report, signed
from bookings_gateway.history.rollback import Rollback
from bookings_gateway.write_back import WriteBack
from local_stack.postgres import installation
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_generations import LAYOUTS
from support.legacy_history import facts
from support.legacy_table import MIGRATIONS, execute

KEY = "a-key-the-operator-keeps"


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(installation() / "bin"), prepend=":")


# What a table in use for years has beside its columns: other people's types and functions, keys into other tables.
ORDINARY = [
    "CREATE EXTENSION fuzzystrmatch WITH SCHEMA public",
    "CREATE EXTENSION citext WITH SCHEMA public",
    "CREATE TYPE public.kind AS ENUM ('INDIVIDUAL', 'GROUP')",
    "CREATE DOMAIN public.remark AS text CHECK (length(value) < 100)",
    "CREATE TABLE public.sessions (id integer PRIMARY KEY)",
    "INSERT INTO public.sessions VALUES (1)",
    "CREATE FUNCTION public.token() RETURNS text LANGUAGE sql AS $$ SELECT public.soundex('token') $$",
    """
    ALTER TABLE public.bookings ADD type public.kind DEFAULT 'GROUP', ADD kinds public.kind[] DEFAULT '{GROUP}',
        ADD sound text DEFAULT public.soundex('Orr'), ADD token text DEFAULT public.token(),
        ADD place public.citext DEFAULT 'Leeds', ADD remark public.remark DEFAULT 'none',
        ADD session integer DEFAULT 1 REFERENCES public.sessions
    """,
    """
    CREATE FUNCTION public.keep_place() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN NEW.place := coalesce(NEW.place, 'Leeds'); RETURN NEW; END $$
    """,
    "CREATE TRIGGER keep_place BEFORE UPDATE ON public.bookings FOR EACH ROW EXECUTE FUNCTION public.keep_place()",
]
COUNTING = [
    "ALTER TABLE public.bookings ADD changes integer DEFAULT 0",
    """
    CREATE FUNCTION public.count_changes() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN NEW.changes := OLD.changes + 1; RETURN NEW; END $$
    """,
    "CREATE TRIGGER count_them BEFORE UPDATE ON public.bookings FOR EACH ROW EXECUTE FUNCTION public.count_changes()",
]
SCRATCH = "SELECT count(*) FROM pg_database WHERE starts_with(datname, :prefix)"
PREFIX = "SELECT 'history_scratch_' || oid || '_' FROM pg_database WHERE datname = current_database()"
EAVESDROPPER = """#!/bin/sh
echo "$@" >> {heard}
exec {program} "$@"
"""


def url_of(moved: Moved) -> str:
    return moved.gateway.url.set(drivername="postgresql").render_as_string(hide_password=False)


async def test_an_ordinary_table_is_restored_and_rehearsed_with_its_types_functions_and_triggers(
    databases: Databases, tmp_path: Path
) -> None:
    async with moving(databases, "default", facts(60, seed=52)) as moved:
        for statement in ORDINARY:
            await execute(moved.gateway, statement)
        left_behind = f"{await moved.value('bookings-gateway', PREFIX)}dead"
        await databases.create(name=left_behind)

        backup = await back_up(moved.history, url_of(moved), tmp_path / "backups")
        evidence = await rehearse(moved.history, url_of(moved), backup, MIGRATIONS)

        assert backup.manifest["restored"] is True
        assert (evidence["passed"], evidence["links_left"]) == (True, 0)
        assert evidence["linked"] == evidence["told"] - evidence["set_aside"]
        assert not await databases.exists(left_behind)
        prefix = await moved.value("bookings-gateway", PREFIX)
        assert await moved.value("bookings-gateway", SCRATCH, prefix=prefix) == 0


async def test_a_rehearsal_that_leaves_a_trace_in_the_rows_fails(databases: Databases, tmp_path: Path) -> None:
    async with moving(databases, "default", facts(60, seed=53)) as moved:
        for statement in COUNTING:
            await execute(moved.gateway, statement)
        backup = await back_up(moved.history, url_of(moved), tmp_path)

        assert (await rehearse(moved.history, url_of(moved), backup, MIGRATIONS))["passed"] is False


@pytest.mark.parametrize("broken", ["write_due", "take_back"])
async def test_a_rehearsal_in_which_nothing_went_there_or_back_fails(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    async def nothing_written(*_: object) -> int:
        return 0

    async def nothing_taken(_: Rollback) -> AsyncIterator[int]:
        none: list[int] = []
        for rows in none:
            yield rows

    async with moving(databases, "default", facts(40, seed=55)) as moved:
        backup = await back_up(moved.history, url_of(moved), tmp_path)
        assert (await rehearse(moved.history, url_of(moved), backup, MIGRATIONS))["passed"]
        if broken == "write_due":
            monkeypatch.setattr(WriteBack, "write_due", nothing_written)
        else:
            monkeypatch.setattr(Rollback, "take_back", nothing_taken)
        evidence = await rehearse(moved.history, url_of(moved), backup, MIGRATIONS)

    assert not evidence["passed"]


async def test_a_table_whose_trigger_bumps_every_update_is_rehearsed_without_links(
    databases: Databases, tmp_path: Path
) -> None:
    async with moving(
        databases, "snake_case", facts(40, seed=55, integer_ids=LAYOUTS["snake_case"].integer_ids)
    ) as moved:
        backup = await back_up(moved.history, url_of(moved), tmp_path)
        evidence = await rehearse(moved.history, url_of(moved), backup, MIGRATIONS)

    assert (evidence["passed"], evidence["linked"]) == (True, 0)


async def test_a_dump_that_is_not_the_manifests_is_not_rehearsed(databases: Databases, tmp_path: Path) -> None:
    async with moving(databases, "default", facts(20, seed=55)) as moved:
        backup = await back_up(moved.history, url_of(moved), tmp_path)
        content = await asyncio.to_thread(backup.dump.read_bytes)
        await asyncio.to_thread(backup.dump.write_bytes, content + b"0")

        with pytest.raises(BackupFailed, match="SHA-256 differs"):
            await rehearse(moved.history, url_of(moved), backup, MIGRATIONS)


async def test_neither_password_nor_dump_is_for_others_to_read(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = tmp_path / "heard"
    for name in ("pg_dump", "pg_restore"):
        listening = EAVESDROPPER.format(heard=heard, program=installation() / "bin" / name)
        await asyncio.to_thread((tmp_path / name).write_text, listening)
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    async with moving(databases, "default", facts(20, seed=54)) as moved:
        password = moved.gateway.url.password
        backup = await back_up(moved.history, url_of(moved), tmp_path / "backups")

    assert password
    assert "--dbname=postgresql://" in heard.read_text()
    assert f":{password}@" not in heard.read_text()
    assert [path.stat().st_mode & 0o077 for path in (backup.dump, backup.dump.parent)] == [0, 0]


async def test_backup_rehearsal_and_report_of_a_move(databases: Databases, tmp_path: Path) -> None:
    async with moving(databases, "default", facts(80, seed=51)) as moved:
        backup = await back_up(moved.history, url_of(moved), tmp_path)
        evidence = await rehearse(moved.history, url_of(moved), backup, MIGRATIONS)
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


async def test_backup_and_rehearsal_as_an_operator_types_them(databases: Databases, tmp_path: Path) -> None:
    async with moving(databases, "default", facts(60, seed=54)) as moved:
        environment = {"BOOKINGS_GATEWAY_DATABASE_URL": url_of(moved), "AMQP_URL": "amqp://unused"}

        async def types(*words: str) -> str:
            result = await asyncio.to_thread(CliRunner().invoke, app, ["history", *words], env=environment)
            assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
            return result.output

        said = await types("backup", "--directory", str(tmp_path))
        assert "60 rows, restored and compared" in said
        await types("rehearse", said.partition(":")[0].replace(".dump", ".json"))

        steps = await moved.rows("bookings-gateway", "SELECT step, passed FROM migration_step ORDER BY id")
        assert [(row["step"], row["passed"]) for row in steps] == [("backup", True), ("rehearse", True)]
