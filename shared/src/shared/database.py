"""PostgreSQL: engines, which errors are circumstance, and migrations."""

import asyncio
from pathlib import Path

import asyncpg
import sqlalchemy.exc
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

# Classes of SQLSTATE that are about the data at hand: cardinality, values, integrity, views, limits, PL/pgSQL.
# Everything else (connection, role, missing table, lock, resources, restart …) would be the same for every event.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_DATA = ("21", "22", "23", "44", "54", "P0")

_MIGRATION_LOCK = 7_301_955_002


def create_engine(url: str, *, name: str, pool_size: int = 10, search_path: str | None = None) -> AsyncEngine:
    """Return an engine for ``postgresql://…``; ``name`` shows up in ``pg_stat_activity``.

    A transaction left idle is ended after a minute: it would hold back vacuum and every replay's fence. Errors never
    show parameters: they are other people's names and addresses.
    """
    settings = {
        "application_name": name,
        "idle_in_transaction_session_timeout": "60000",
        "jit": "off",
        "work_mem": "16MB",  # ten thousand legacy bookings are sorted in memory; with the default they go to disk
        "min_parallel_table_scan_size": "2MB",  # they are 5 MB: made into JSON by two, not by three
    }
    if search_path:
        settings["search_path"] = search_path
    return create_async_engine(
        async_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,  # the one used last has its statements, and its memory in the processor's cache
        pool_timeout=10,
        hide_parameters=True,
        connect_args={"server_settings": settings, "timeout": 5, "command_timeout": 60},
    )


def async_url(url: str) -> str:
    """Return the URL with the driver named, as SQLAlchemy wants it."""
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.startswith("postgres"):
        raise ValueError(f"a database URL starts with postgresql://, not {scheme!r}")
    return f"postgresql+asyncpg://{rest}"


def is_transient(error: BaseException) -> bool:
    """Say whether an error is circumstance (try the same again) rather than data (set the event aside)."""
    if isinstance(error, OSError | TimeoutError | sqlalchemy.exc.TimeoutError):
        return True
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = sqlstate(error)
    if state:
        return not state.startswith(_DATA)
    return _is_driver_disconnect(error.orig)


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of a database error, if it has one."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def describe(error: BaseException) -> str:
    """Say what failed without repeating values: for health reports and logs, which anybody may read."""
    state = sqlstate(error)
    return f"{type(error).__name__} {state}" if state else type(error).__name__


def _is_driver_disconnect(error: BaseException | None) -> bool:
    """The driver's own errors carry no state: a closed connection is circumstance, a bad parameter is data."""
    cause = error.__cause__ if error is not None else None
    if isinstance(cause, ValueError):
        return False
    return isinstance(cause, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError)


def migrate(url: str, migrations: Path, *, search_path: str | None = None) -> None:
    """Bring the database to the newest revision; two replicas at once take turns. Blocking."""
    asyncio.run(_migrate(url, migrations, search_path))


async def _migrate(url: str, migrations: Path, search_path: str | None) -> None:
    settings = {"search_path": search_path} if search_path else {}
    engine = create_async_engine(
        async_url(url), poolclass=NullPool, connect_args={"server_settings": settings, "timeout": 10}
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            await connection.run_sync(_upgrade, migrations)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, migrations: Path) -> None:
    from alembic import command  # here, because it would slow the start of every process that never migrates
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
