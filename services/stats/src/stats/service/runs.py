"""The record of rebuilds: who runs one, how far it has come, what an operator wishes of it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from stats.errors import Cancelled

_RUNNING = text("SELECT * FROM rebuild WHERE state = 'running'")
_LAST = text("SELECT * FROM rebuild ORDER BY state = 'running' DESC, id DESC LIMIT 1")
_BEGIN = text(
    """
    INSERT INTO rebuild (purpose, schema, phase, state, rate, as_of, operator)
    VALUES (:purpose, :schema, 'bulk', 'running', :rate, :as_of, :operator) RETURNING *
    """
)
# What is done in one transaction is never seen running, and an interrupted rebuild may go on after it.
_RECORD = text(
    """
    INSERT INTO rebuild (purpose, schema, phase, state, operator, differences, finished_at)
    VALUES (:purpose, :schema, 'done', 'done', :operator, :differences, now())
    """
)
_RESUME = text(
    """
    UPDATE rebuild SET wish = CASE wish WHEN 'pause' THEN 'run' ELSE wish END, rate = coalesce(:rate, rate)
    WHERE id = :id
    """
)
_BULK_DONE = text("UPDATE rebuild SET phase = 'catching up' WHERE id = :id AND phase = 'bulk' RETURNING id")
_FINISH = text(
    "UPDATE rebuild SET state = :state, phase = :state, finished_at = now(), differences = :differences WHERE id = :id"
)
# A wish to cancel comes either before this, and holds, or after it, and hears that nothing is under way.
_GO_LIVE = text(
    """
    UPDATE rebuild SET state = 'done', phase = 'done', finished_at = now(), differences = :differences,
                       switch_ms = :switch_ms
    WHERE id = :id AND wish <> 'cancel' RETURNING id
    """
)
_WISHES = text("SELECT wish, rate FROM rebuild WHERE id = :id")
_WISH = text("UPDATE rebuild SET wish = :wish WHERE state = 'running' RETURNING id")
_THROTTLE = text("UPDATE rebuild SET rate = :rate WHERE state = 'running' RETURNING id")


@dataclass(frozen=True, slots=True)
class Run:
    """One rebuild, as it was when begun or gone on with."""

    id: int
    purpose: str
    schema: str
    phase: str
    events: int
    rate: int | None
    as_of: datetime | None
    operator: str
    started_at: datetime

    @classmethod
    def of(cls, row: RowMapping) -> "Run":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


async def last(connection: AsyncConnection) -> RowMapping | None:
    """Return the newest rebuild's row."""
    return (await connection.execute(_LAST)).mappings().one_or_none()


async def unfinished(connection: AsyncConnection) -> Run | None:
    """Return the rebuild that was begun and not brought to an end."""
    row = (await connection.execute(_RUNNING)).mappings().one_or_none()
    return Run.of(row) if row else None


async def begin(
    connection: AsyncConnection, *, purpose: str, schema: str, operator: str, rate: int | None, as_of: datetime | None
) -> Run:
    """Record a new rebuild; the caller commits."""
    values = {"purpose": purpose, "schema": schema, "operator": operator, "rate": rate, "as_of": as_of}
    return Run.of((await connection.execute(_BEGIN, values)).mappings().one())


async def resume(connection: AsyncConnection, run: Run, *, rate: int | None) -> None:
    """Note that an interrupted rebuild goes on: no longer paused, at the rate asked for now, if any."""
    await connection.execute(_RESUME, {"id": run.id, "rate": rate})


async def record(connection: AsyncConnection, *, purpose: str, schema: str, operator: str, differences: int) -> None:
    """Note what began and ended in this transaction."""
    values = {"purpose": purpose, "schema": schema, "operator": operator, "differences": differences}
    await connection.execute(_RECORD, values)


async def leave_bulk(connection: AsyncConnection, run: Run) -> bool:
    """Note that catching up begins; ``False`` if it has begun already."""
    return (await connection.execute(_BULK_DONE, {"id": run.id})).one_or_none() is not None


async def finish(connection: AsyncConnection, run: Run, state: str, *, differences: int | None = None) -> None:
    """Note the end of one that does not go live."""
    await connection.execute(_FINISH, {"id": run.id, "state": state, "differences": differences})


async def finish_live(connection: AsyncConnection, run: Run, *, differences: int, switch_ms: float) -> None:
    """Note the end of one that goes live in this transaction; raises :class:`Cancelled` if that is wished instead."""
    values = {"id": run.id, "differences": differences, "switch_ms": switch_ms}
    if (await connection.execute(_GO_LIVE, values)).one_or_none() is None:
        raise Cancelled(f"rebuild {run.id} was cancelled")


async def wishes(connection: AsyncConnection, run: Run) -> tuple[str, int | None]:
    """Return what the operator wants: run, pause or cancel; and the rate, in events per second."""
    row = (await connection.execute(_WISHES, {"id": run.id})).one()
    return row[0], row[1]


async def wish(connection: AsyncConnection, what: str) -> bool:
    """Ask the running rebuild to run, pause or cancel; ``False`` if there is none."""
    return (await connection.execute(_WISH, {"wish": what})).one_or_none() is not None


async def throttle(connection: AsyncConnection, rate: int | None) -> bool:
    """Set the running rebuild's rate; ``False`` if there is none."""
    return (await connection.execute(_THROTTLE, {"rate": rate})).one_or_none() is not None
