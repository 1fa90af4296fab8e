"""A rollback rehearsed on a copy: dump, restore, install, import everything, take it back, compare the checksums."""

import asyncio
from pathlib import Path
from typing import Any

from bookings_gateway.capture import Capture
from bookings_gateway.history.backup import Backup, restore_into, scratch_database
from bookings_gateway.history.move import History
from bookings_gateway.history.rollback import Rollback
from bookings_gateway.history.steps import note_step
from bookings_gateway.install import install
from shared.database import create_engine, migrate
from shared.signal import Signal

_SEARCH_PATH = "gateway,public"


async def rehearse(history: History, url: str, backup: Backup, migrations: Path) -> dict[str, Any]:
    """Move a copy of the table there and back; returns and keeps the evidence. The copy is dropped."""
    async with scratch_database(history.engine, url) as scratch:
        await restore_into(scratch, backup.dump)
        await asyncio.to_thread(migrate, scratch, migrations, search_path=_SEARCH_PATH)
        engine = create_engine(scratch, name="rehearsal", pool_size=2, search_path=_SEARCH_PATH)
        try:
            await install(engine, history.table, history.layout)
            capture = Capture(Signal(), history.layout, history.currency, history.zone)
            copy = History(engine, history.table, history.layout, history.currency, history.zone, capture)
            evidence = await _there_and_back(copy)
        finally:
            await engine.dispose()
    evidence["expected"] = [backup.manifest["rows"], backup.manifest["sha256"]]
    evidence["passed"] = evidence["after"] == evidence["expected"]
    await note_step(history.engine, "rehearse", passed=evidence["passed"], evidence=evidence)
    return evidence


async def _there_and_back(copy: History) -> dict[str, Any]:
    async with copy.importing(by="rehearsal") as importer:
        told = sum([rows async for rows in importer.chunks()])
    counts = await copy.counts()
    taken = sum([rows async for rows in Rollback(copy.engine, copy.capture, copy.name).take_back()])
    async with copy.engine.connect() as connection:
        after = await (await copy.source(connection)).checksum(connection)
    return {"told": told, "set_aside": counts.outcomes["set_aside"], "taken_back": taken, "after": list(after)}
