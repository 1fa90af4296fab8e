"""How old what is shown of other services is: when each of them was last heard."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

AGE_HEADER = "X-Read-Model-Heard"
AGED: dict[str, Any] = {
    "headers": {
        AGE_HEADER: {
            "description": "When an event of each service was last taken in: `users=…, payments=…, stats=…`",
            "schema": {"type": "string"},
        }
    }
}

_KEEP_SECONDS = 1.0
_HEARD = text("SELECT source, heard_at FROM heard ORDER BY source")


async def age(engine: AsyncEngine) -> str:
    """Return the header's value as of now."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")  # one round trip instead of three
        rows = (await connection.execute(_HEARD)).all()
    return ", ".join(f"{row.source.strip('/')}={_shown(row.heard_at)}" for row in rows)


@dataclass(slots=True)
class Age:
    """The same, asked at most once a second: for answers that are made in little more than a round trip."""

    engine: AsyncEngine
    _value: str = ""
    _until: float = 0.0

    async def value(self) -> str:
        """Return the header's value, at most a second old."""
        if time.monotonic() >= self._until:
            self._value = await age(self.engine)
            self._until = time.monotonic() + _KEEP_SECONDS
        return self._value


def _shown(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else "never"
