"""Sessions of browsers: a random id in a cookie, its hash in the database. PostgreSQL's clock decides when one ends."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.access.actor import Actor, Role
from bookings_gateway.access.secrets import hashed, new_secret

_OPEN = text(
    """
    INSERT INTO staff_session (id_hash, staff_id, expires_at)
    VALUES (:id_hash, :staff_id, now() + CAST(:lifetime AS interval))
    """
)
_FIND = text(
    """
    SELECT a.id, a.name, a.role, s.last_seen_at < now() - interval '1 minute' AS stale
    FROM staff_session s JOIN staff a ON a.id = s.staff_id
    WHERE s.id_hash = :id_hash AND s.expires_at > now() AND s.last_seen_at > now() - CAST(:idle AS interval)
      AND a.disabled_at IS NULL
    """
)
# At most one write a minute and session; of requests at once, the first writes and the others find nothing to do.
_SEEN = text(
    """
    UPDATE staff_session SET last_seen_at = now()
    WHERE id_hash = :id_hash AND last_seen_at < now() - interval '1 minute'
    """
)
_END = text("DELETE FROM staff_session WHERE id_hash = :id_hash")
_FORGET = text("DELETE FROM staff_session WHERE expires_at < now() OR last_seen_at < now() - CAST(:idle AS interval)")


@dataclass(frozen=True, slots=True)
class Sessions:
    """``idle`` is how long a session outlives its last request, ``lifetime`` how long it lives at most."""

    idle: timedelta
    lifetime: timedelta

    async def open(self, connection: AsyncConnection, staff_id: UUID) -> str:
        """Return the id of a new session; the caller commits, holding the account's row."""
        session_id = new_secret()
        row = {"id_hash": hashed(session_id), "staff_id": staff_id, "lifetime": self.lifetime}
        await connection.execute(_OPEN, row)
        return session_id

    async def find(self, engine: AsyncEngine, id_hash: bytes) -> Actor | None:
        """Return whose session it is; ``None`` when there is none or it has ended. ``engine`` commits by itself."""
        wanted = {"id_hash": id_hash}
        async with engine.connect() as connection:
            row = (await connection.execute(_FIND, {**wanted, "idle": self.idle})).one_or_none()
            if row is not None and row.stale:
                await connection.execute(_SEEN, wanted)
        return Actor(row.id, row.name, Role(row.role)) if row is not None else None

    async def end(self, connection: AsyncConnection, session_id: str) -> None:
        """End a session; one that is not there is fine. The caller commits."""
        await connection.execute(_END, {"id_hash": hashed(session_id)})

    async def forget(self, connection: AsyncConnection) -> None:
        """Remove what has ended. The caller commits."""
        await connection.execute(_FORGET, {"idle": self.idle})
