"""A rollback rehearsed on a copy: dump, restore, install, import everything, take it back, compare the checksums."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bookings_gateway.capture import Capture
from bookings_gateway.history.backup import Backup
from bookings_gateway.history.move import History
from bookings_gateway.history.rollback import Rollback
from bookings_gateway.history.scratch import restore_into, scratch_database
from bookings_gateway.history.source import Source
from bookings_gateway.history.steps import note_step
from bookings_gateway.install import install
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.write_back import WriteBack
from shared.database import create_engine, migrate
from shared.signal import Signal

_SEARCH_PATH = "gateway,public"


# What users and events would bring: whose each booking is.
_LINK = text(
    """
    INSERT INTO booking_user (booking_id, sequence, user_id)
    SELECT booking_id, 1, gen_random_uuid() FROM import_item WHERE outcome = 'published'
    """
)
_LINKED = "SELECT count(*) FROM {table} b WHERE b.{user_id} IS NOT NULL"


async def rehearse(history: History, url: str, backup: Backup, migrations: Path) -> dict[str, Any]:
    """Move a copy of the table there and back; returns and keeps the evidence. The copy is dropped.

    It passes when every row was told, linked and taken back, and is as it was, with the table's own triggers at work
    and no user's id left. Raises ``BackupFailed``, also when the dump is not the one the manifest is of.
    """
    async with history.engine.connect() as connection:
        table = (await history.source(connection)).table
    async with scratch_database(history.engine, url) as scratch:
        await restore_into(history.engine, table.oid, scratch, backup.dump, sha256=backup.manifest["dump_sha256"])
        await asyncio.to_thread(migrate, scratch, migrations, search_path=_SEARCH_PATH)
        engine = create_engine(scratch, name="rehearsal", pool_size=2, search_path=_SEARCH_PATH)
        try:
            await install(engine, history.table, history.layout)
            capture = Capture(Signal(), history.layout, history.currency, history.zone)
            copy = History(engine, history.table, history.layout, history.currency, history.zone, capture)
            evidence = await _there_and_back(copy, backup.manifest["columns"])
        finally:
            await engine.dispose()
    evidence["expected"] = [backup.manifest["rows"], backup.manifest["sha256"]]
    evidence["passed"] = _went_both_ways(evidence, is_written=not table.touching)
    await note_step(history.engine, "rehearse", passed=evidence["passed"], evidence=evidence)
    return evidence


def _went_both_ways(evidence: Mapping[str, Any], *, is_written: bool) -> bool:
    """Whether all was told and taken back; what never went there proves nothing by being as it was.

    Not ``is_written``: a table whose own triggers would change it is never given the users' ids.
    """
    published = evidence["told"] - evidence["set_aside"]
    linked = published if is_written else 0
    there = (evidence["told"], evidence["linked"], evidence["taken_back"])
    is_back = evidence["after"] == evidence["expected"] and not evidence["links_left"]
    return is_back and there == (evidence["expected"][0], linked, published)


async def _there_and_back(copy: History, columns: Sequence[str]) -> dict[str, Any]:
    write_back = WriteBack(LegacyTableCache(copy.table, copy.layout), Signal(), copy.zone.key)
    async with copy.importing(by="rehearsal") as importer:
        told = sum([rows async for rows in importer.chunks()])
    counts = await copy.counts()
    async with copy.engine.begin() as connection:
        await connection.execute(_LINK)
    await write_back.write_due(copy.engine)
    linked, _ = await _state(copy, columns)
    taken = sum([rows async for rows in Rollback(copy.engine, copy.capture, copy.name).take_back()])
    await write_back.write_due(copy.engine)
    left, after = await _state(copy, columns)
    return {
        "told": told,
        "set_aside": counts.outcomes["set_aside"],
        "linked": linked,
        "taken_back": taken,
        "links_left": left,
        "after": list(after),
    }


async def _state(copy: History, columns: Sequence[str]) -> tuple[int, tuple[int, str]]:
    """How many rows bear a user's id, and rows and hash of what was there before."""
    async with copy.engine.connect() as connection:
        source = Source((await copy.source(connection)).table, columns)
        linked = (await connection.execute(source.statement(_LINKED))).scalar_one()
        return linked, await source.checksum(connection)
