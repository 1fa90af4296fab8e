"""Runs of the import: who holds one, how far it is, and how another takes over from the dead."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.history.errors import ImportHeld, LeaseLost, NoRun, NotReady, Paused

_SILENT_SECONDS = 20.0

_CURRENT = text(
    """
    SELECT r.*, CAST(r.plan AS text) AS plan_text,
           extract(epoch FROM clock_timestamp() - r.heartbeat_at) AS silent_seconds
    FROM import_run r WHERE state <> 'rolled_back' ORDER BY id DESC LIMIT 1
    """
)
# It began with its transaction, before the plan was read: whatever was written after that is told later than this.
_NEW = text(
    """
    INSERT INTO import_run (state, token, started_by, started_at, chunk_rows, code_version, plan)
    VALUES ('running', :token, :by, now(), :chunk_rows, :version, CAST(:plan AS json))
    ON CONFLICT DO NOTHING RETURNING id, started_at
    """
)
# Whoever had the token before finds it changed at its next chunk and stops: the fence.
_TAKE = text(
    """
    UPDATE import_run SET token = :token, state = :state, position = NULL, heartbeat_at = clock_timestamp(),
                          resumed_at = clock_timestamp(), finished_at = NULL, remark = NULL
    WHERE id = :id RETURNING id, started_at
    """
)
_LOCK = text("SELECT FROM import_run WHERE state <> 'rolled_back' FOR UPDATE")
_CONTRACTED = text(
    """
    SELECT done_at FROM migration_step
    WHERE step = 'contract' AND passed AND done_at >= :began ORDER BY id DESC LIMIT 1
    """
)
_HOLD = text("SELECT state, chunk_rows, position FROM import_run WHERE id = :id AND token = :token FOR UPDATE")
_NOTE = text(
    """
    UPDATE import_run SET position = :position, remark = :remark, heartbeat_at = clock_timestamp()
    WHERE id = :id AND token = :token
    """
)
_REMARK = text(
    """
    UPDATE import_run SET remark = :remark, heartbeat_at = clock_timestamp()
    WHERE id = :id AND token = :token AND state IN ('running', 'rolling_back')
    """
)
_END = text(
    """
    UPDATE import_run SET state = :state, remark = :remark, heartbeat_at = clock_timestamp(),
                          finished_at = clock_timestamp()
    WHERE id = :id AND token = :token
    """
)
_PAUSE = text("UPDATE import_run SET state = 'paused', remark = :remark WHERE id = :id AND state = 'running'")
_CHUNK_ROWS = text("UPDATE import_run SET chunk_rows = :rows WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Run:
    """A run this process holds."""

    id: int
    token: UUID
    started_at: datetime

    @property
    def key(self) -> dict[str, object]:
        return {"id": self.id, "token": self.token}


async def current(connection: AsyncConnection) -> RowMapping | None:
    """Return the run that was not rolled back, if there is one."""
    return (await connection.execute(_CURRENT)).mappings().one_or_none()


async def locked(connection: AsyncConnection) -> RowMapping | None:
    """Return the run like :func:`current`, locked until the transaction ends: nobody goes on with it meanwhile.

    A statement of its own reads it then, and sees what whoever held it before made of it.
    """
    await connection.execute(_LOCK)
    return await current(connection)


async def required(connection: AsyncConnection) -> RowMapping:
    """Return the run; raises :class:`NoRun`."""
    run = await current(connection)
    if run is None:
        raise NoRun
    return run


def plan_of(run: RowMapping) -> dict[str, Any]:
    """Return what held when the run began."""
    plan: dict[str, Any] = json.loads(run["plan_text"])
    return plan


async def begin(connection: AsyncConnection, plan: Mapping[str, Any], *, by: str, chunk_rows: int, version: str) -> Run:
    """Start a run; the caller commits. Raises :class:`ImportHeld` when another process began one at the same time."""
    token = uuid4()
    made = {"token": token, "by": by, "chunk_rows": chunk_rows, "version": version, "plan": json.dumps(plan)}
    row = (await connection.execute(_NEW, made)).one_or_none()
    if row is None:
        other = await required(connection)
        raise ImportHeld(other["state"], other["silent_seconds"])
    return Run(row.id, token, row.started_at)


async def keep_still(connection: AsyncConnection) -> Run:
    """Lock the run until the transaction ends, in whatever state it is; nobody goes on with it meanwhile.

    Raises :class:`NoRun`, :class:`ImportHeld` while it is under way, and :class:`NotReady` while it is taken back or
    after the clean-up.
    """
    run = await locked(connection)
    if run is None:
        raise NoRun
    if run["state"] == "rolling_back":
        raise NotReady("The import is being taken back; finish that first.")
    if is_alive(run):
        raise ImportHeld(run["state"], run["silent_seconds"])
    await _require_way_back(connection, run)
    return Run(run["id"], run["token"], run["started_at"])


async def take(connection: AsyncConnection, run: RowMapping, *, state: str = "running", force: bool = False) -> Run:
    """Go on with a run, :func:`locked` before, whoever had it; the caller commits.

    Raises :class:`ImportHeld` while that one is alive, and :class:`NotReady` when it is to be taken back too late.
    """
    if is_alive(run) and not force:
        raise ImportHeld(run["state"], run["silent_seconds"])
    if state == "rolling_back":
        await _require_way_back(connection, run)
    token = uuid4()
    row = (await connection.execute(_TAKE, {"id": run["id"], "token": token, "state": state})).one()
    return Run(row.id, token, row.started_at)


async def _require_way_back(connection: AsyncConnection, run: RowMapping) -> None:
    done = (await connection.execute(_CONTRACTED, {"began": run["started_at"]})).scalar_one_or_none()
    if done:
        raise NotReady(f"The clean-up was done on {done:%Y-%m-%d}: nothing is taken back or decided anew after it.")


def is_alive(run: RowMapping) -> bool:
    """Whether a process goes on with it and gave a sign of life lately."""
    return run["state"] in {"running", "rolling_back"} and run["silent_seconds"] < _SILENT_SECONDS


async def hold(connection: AsyncConnection, run: Run) -> RowMapping:
    """Lock the run for a transaction; raises :class:`LeaseLost` when another process took it over."""
    row = (await connection.execute(_HOLD, run.key)).mappings().one_or_none()
    if row is None:
        raise LeaseLost
    return row


async def note(connection: AsyncConnection, run: Run, *, position: str | None, remark: str | None = None) -> None:
    """Say how far the run is and that it lives; the caller commits."""
    await connection.execute(_NOTE, {**run.key, "position": position, "remark": remark})


async def remark(connection: AsyncConnection, run: Run, sentence: str | None) -> None:
    """Say why it is slow, and that it lives; the caller commits.

    Raises :class:`Paused` when somebody paused it, and :class:`LeaseLost` when another process took it over.
    """
    if (await connection.execute(_REMARK, {**run.key, "remark": sentence})).rowcount:
        return
    await hold(connection, run)
    raise Paused


async def end(connection: AsyncConnection, run: Run, state: str, *, remark: str | None = None) -> None:
    """End the run in a state; the caller commits."""
    await connection.execute(_END, {**run.key, "state": state, "remark": remark})


async def pause(connection: AsyncConnection, run: RowMapping, *, by: str) -> bool:
    """Have a running run stop after its chunk; the caller commits."""
    return bool((await connection.execute(_PAUSE, {"id": run["id"], "remark": f"paused by {by}"})).rowcount)


async def set_chunk_rows(connection: AsyncConnection, run: RowMapping, rows: int) -> None:
    """Change how many rows a chunk has at most, also while it runs; the caller commits."""
    await connection.execute(_CHUNK_ROWS, {"id": run["id"], "rows": rows})
