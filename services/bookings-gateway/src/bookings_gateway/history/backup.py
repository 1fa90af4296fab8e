"""A backup worth the name: one snapshot, dumped, restored elsewhere and compared, before the import may begin.

A ``CREATE TABLE … AS SELECT`` would have no keys, defaults or indexes, and be a second copy of personal data without
an end. This is pg_dump's custom format with a manifest of counts and hashes, and a date by which it is to be deleted.
"""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bookings_gateway.history.move import History
from bookings_gateway.history.programs import BackupFailed, run
from bookings_gateway.history.scratch import file_hash, restore_into, scratch_database
from bookings_gateway.history.source import Source
from bookings_gateway.history.steps import note_step
from bookings_gateway.legacy_table import find
from shared.database import create_engine

_KEEP = timedelta(days=90)

# The snapshot is held open while pg_dump reads by it: the dump and the checksum are of one moment.
_SNAPSHOT = text("SELECT pg_export_snapshot()")
_ONE_MOMENT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
_PATIENT = text("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")


@dataclass(frozen=True, slots=True)
class Backup:
    """A dump of one table and its manifest."""

    dump: Path
    manifest: dict[str, Any]


async def back_up(history: History, url: str, directory: Path, *, restore: bool = True) -> Backup:
    """Dump the table, restore it into a database of its own, compare, and drop that; returns the manifest.

    Needs pg_dump and pg_restore of at least the server's version on the PATH, and the right to create a database.
    """
    await asyncio.to_thread(directory.mkdir, mode=0o700, parents=True, exist_ok=True)
    dump = directory / f"bookings-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
    async with history.engine.connect() as connection:
        await connection.execute(_ONE_MOMENT)
        await connection.execute(_PATIENT)
        snapshot = (await connection.execute(_SNAPSHOT)).scalar_one()
        source = await history.source(connection)
        rows, checksum = await source.checksum(connection)
        await run("pg_dump", "--format=custom", f"--table={source.table.name}", f"--snapshot={snapshot}",
                  "--no-owner", "--no-privileges", f"--file={dump}", url=url)  # fmt: skip
    manifest = {
        "table": source.table.name,
        "columns": source.columns,
        "rows": rows,
        "sha256": checksum,
        "dump": dump.name,
        "dump_sha256": await asyncio.to_thread(file_hash, dump),
        "made_at": datetime.now(UTC).isoformat(),
        "delete_by": (datetime.now(UTC) + _KEEP).date().isoformat(),
        "restored": False,
    }
    if restore:
        restored = await restored_checksum(history, url, Backup(dump, manifest), source)
        if restored != (rows, checksum):
            raise BackupFailed(f"The restored table differs: {restored} instead of {(rows, checksum)}.")
        manifest["restored"] = True
    await asyncio.to_thread(dump.with_suffix(".json").write_text, json.dumps(manifest, indent=2))
    await note_step(history.engine, "backup", passed=restore, evidence=manifest)
    return Backup(dump, manifest)


async def restored_checksum(history: History, url: str, backup: Backup, source: Source) -> tuple[int, str]:
    """Restore the dump into a scratch database and return rows and hash of what came of it."""
    async with scratch_database(history.engine, url) as scratch:
        await restore_into(
            history.engine, source.table.oid, scratch, backup.dump, sha256=backup.manifest["dump_sha256"]
        )
        engine = create_engine(scratch, name="restore test", pool_size=1, search_path="public")
        try:
            async with engine.connect() as connection:
                table = await find(connection, source.table.name, history.layout)
                return await Source(table, source.columns).checksum(connection)
        finally:
            await engine.dispose()
