"""Steps of the move that were done, each with its evidence; steps only a person can do, with a name and a note."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_NOTE = text(
    """
    INSERT INTO migration_step (step, passed, name, note, evidence)
    VALUES (:step, :passed, :name, :note, CAST(:evidence AS json))
    """
)
_LATEST = text("SELECT DISTINCT ON (step) step, passed, name, note, done_at FROM migration_step ORDER BY step, id DESC")


async def note_step(
    engine: AsyncEngine,
    step: str,
    *,
    passed: bool,
    evidence: Mapping[str, Any],
    name: str | None = None,
    note: str | None = None,
) -> None:
    """Keep that a step was done; commits. The latest of a step counts."""
    async with engine.begin() as connection:
        await enter_step(connection, step, passed=passed, evidence=evidence, name=name, note=note)


async def enter_step(
    connection: AsyncConnection,
    step: str,
    *,
    passed: bool,
    evidence: Mapping[str, Any],
    name: str | None = None,
    note: str | None = None,
) -> None:
    """Keep that a step was done, in the transaction that does it; the caller commits."""
    said = {"step": step, "passed": passed, "name": name, "note": note, "evidence": json.dumps(evidence)}
    await connection.execute(_NOTE, said)


async def latest_steps(connection: AsyncConnection) -> dict[str, RowMapping]:
    """Return the latest of each step."""
    return {row["step"]: row for row in (await connection.execute(_LATEST)).mappings()}
