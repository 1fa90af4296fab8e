"""Liveness and readiness. Ready means: database answers, broker answers, consumers live and make progress."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import sqlalchemy.exc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Check = Callable[[], Awaitable[str | None]]

_TIMEOUT = 3.0
_STUCK_SECONDS = 60.0
_OLDEST = text("SELECT seq FROM outbox ORDER BY bulk, seq LIMIT 1")


@dataclass(slots=True)
class Health:
    """Named checks, each returning what is wrong or ``None``."""

    checks: dict[str, Check] = field(default_factory=dict)

    async def report(self) -> Mapping[str, str | None]:
        """Run all checks at once, each bounded; a check that takes too long is red."""
        results = await asyncio.gather(*(_bounded(check) for check in self.checks.values()))
        return dict(zip(self.checks, results, strict=True))


async def _bounded(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await check()
    except TimeoutError:
        return f"no answer within {_TIMEOUT:.0f} s"


@dataclass(slots=True)
class OutboxCheck:
    """Red when the oldest unsent event stays the same for too long: nobody sends, whatever else answers."""

    engine: AsyncEngine
    _oldest: int | None = None
    _since: float = 0.0

    async def __call__(self) -> str | None:
        now = asyncio.get_running_loop().time()
        try:
            async with self.engine.connect() as connection:
                oldest = (await connection.execute(_OLDEST)).scalar_one_or_none()
        except (OSError, sqlalchemy.exc.SQLAlchemyError):
            return None  # the database's own check says so
        if oldest != self._oldest:
            self._oldest, self._since = oldest, now
        stuck = now - self._since
        return f"nothing was sent for {stuck:.0f} s" if oldest is not None and stuck > _STUCK_SECONDS else None


def database_check(engine: AsyncEngine) -> Check:
    """Return a check that the database answers a query."""

    async def check() -> str | None:
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (OSError, sqlalchemy.exc.SQLAlchemyError) as error:
            return f"{type(error).__name__}: the database does not answer"
        return None

    return check
