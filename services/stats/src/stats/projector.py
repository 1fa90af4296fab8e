"""Runs the projection's SQL over a slice of the journal: the same statements live and in a rebuild."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

APPLY_LOCK = 7_301_955_003
LAST_SEQ = 2**63 - 1

# One apply at a time: a group that brings a booking and one that brings its link would otherwise not see each
# other, and the contribution would be lost. Groups make the wait short.
_LOCK = text("SELECT pg_advisory_xact_lock(:key)")

# A slice of few rows is looked up by index, whatever the tables' statistics say at the moment.
_FEW = """set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
          set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)"""
_LIVE = text(
    f"""
    SELECT CAST(pg_current_xact_id() AS text), set_config('search_path', schema || ',public', true), {_FEW}
    FROM generation WHERE live
    """  # noqa: S608 - constants of ours
)
_READ = text(f"SELECT set_config('search_path', schema || ',public', true), {_FEW} FROM generation WHERE live")  # noqa: S608
_ENTER_FEW = text(f"SELECT set_config('search_path', :path, true), {_FEW}")
# A slice of many rows is joined by hashing: memory is bounded by work_mem, the rest goes to temporary files. A commit
# need not reach the disk at once, because cursor and effect are lost or kept together.
_ENTER_MANY = text(
    """
    SELECT set_config('search_path', :path, true), set_config('enable_nestloop', 'off', true),
           set_config('plan_cache_mode', 'force_custom_plan', true), set_config('synchronous_commit', 'off', true),
           set_config('work_mem', '64MB', true), set_config('maintenance_work_mem', '128MB', true),
           set_config('max_parallel_maintenance_workers', '0', true)
    """
)


def sql(name: str) -> str:
    """Return the text of one of the projection's files."""
    return (resources.files("stats.projection") / f"{name}.sql").read_text()


_STATEMENTS = {
    name: text(sql(name))
    for name in ("bookings", "payments", "follow_payments", "merges", "canonicals", "activity", "follow_activity")
}
# In this order: whose a booking is, then what follows it.
ALL = ("bookings", "payments", "follow_payments", "merges", "activity", "follow_activity")
_LINKED = "user.booking_linked"
_CONCERNS = {
    "bookings": ("booking.", _LINKED),
    "payments": ("payment.",),
    "follow_payments": (_LINKED,),
    "merges": ("user.merged", "user.unmerged"),
    "activity": ("",),
    "follow_activity": (_LINKED,),
}


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the journal: everything up to and with this (xid, seq)."""

    xid: str = "0"
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """A slice of the journal: after one position, up to and with another."""

    after: Position
    to: Position

    def parameters(self) -> dict[str, str | int]:
        return {
            "after_xid": self.after.xid,
            "after_seq": self.after.seq,
            "to_xid": self.to.xid,
            "to_seq": self.to.seq,
        }

    @classmethod
    def of_transaction(cls, xid: str) -> "Window":
        """Everything one transaction appended."""
        return cls(Position(xid, 0), Position(xid, LAST_SEQ))


async def lock_applies(connection: AsyncConnection) -> None:
    """Keep other applies out until this transaction ends. What is committed now is applied to the live generation."""
    await connection.execute(_LOCK, {"key": APPLY_LOCK})


async def enter_live(connection: AsyncConnection) -> Window:
    """Lock applies, point this transaction at the live generation; return the window of what it has appended."""
    await lock_applies(connection)
    return Window.of_transaction((await connection.execute(_LIVE)).one()[0])


async def enter_reading(connection: AsyncConnection) -> None:
    """Point this transaction at the live generation, for reading."""
    await connection.execute(_READ)


async def enter_few(connection: AsyncConnection, schema: str) -> None:
    """Point this transaction at a generation, for small slices and questions about some users."""
    await connection.execute(_ENTER_FEW, {"path": f"{schema},public"})


async def enter_many(connection: AsyncConnection, schema: str) -> None:
    """Point this transaction at a generation, for large slices."""
    await connection.execute(_ENTER_MANY, {"path": f"{schema},public"})


async def apply(
    connection: AsyncConnection,
    window: Window,
    *,
    types: Collection[str] | None = None,
    statements: Iterable[str] = ALL,
    report: bool = True,
) -> set[UUID]:
    """Fold a slice into the entered generation and return the users it touched (none without ``report``).

    Each slice once; their order does not matter. ``types`` are those in the slice, when known: what concerns none of
    them is left out. Live, the caller holds the apply lock.
    """
    touched: set[UUID] = set()
    for name in statements:
        if types is None or any(type_.startswith(_CONCERNS[name]) for type_ in types):
            touched |= await _run(connection, name, window, report=report)
    return touched


async def _run(connection: AsyncConnection, name: str, window: Window, *, report: bool) -> set[UUID]:
    parameters: dict[str, Any] = window.parameters()
    if name != "merges":
        parameters["report"] = report
    touched = set((await connection.execute(_STATEMENTS[name], parameters)).scalars())
    if name == "merges" and touched:
        touched |= set((await connection.execute(_STATEMENTS["canonicals"], {"users": sorted(touched)})).scalars())
    return touched
