"""Bearer tokens of programs. A token is shown once, when it is made."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access import audit
from bookings_gateway.access.actor import Actor, Role
from bookings_gateway.access.errors import StaffRefusal
from bookings_gateway.access.names import usable_name
from bookings_gateway.access.secrets import hashed, new_secret
from shared.ids import new_id

_KIND = "bgw_"  # so that scanners for leaked secrets, and people, recognise one

_CREATE = text(
    """
    INSERT INTO api_token (id, token_hash, name, role, expires_at)
    VALUES (:id, :token_hash, :name, :role, now() + CAST(:lifetime AS interval)) RETURNING expires_at
    """
)
_FIND = text(
    """
    SELECT id, name, role, coalesce(last_used_at < now() - interval '1 minute', true) AS stale
    FROM api_token WHERE token_hash = :token_hash AND expires_at > now() AND revoked_at IS NULL
    """
)
_USED = text(
    """
    UPDATE api_token SET last_used_at = now()
    WHERE id = :id AND coalesce(last_used_at < now() - interval '1 minute', true)
    """
)
_LIST = text(
    "SELECT id, name, role, created_at, expires_at, last_used_at, revoked_at FROM api_token ORDER BY created_at"
)
_REVOKE = text("UPDATE api_token SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL")


async def create_token(engine: AsyncEngine, actor: Actor, *, name: str, role: Role, lifetime: timedelta) -> str:
    """Make a token and return it; commits. Nobody can be shown it again. Raises :class:`StaffRefusal`."""
    token, id_ = f"{_KIND}{new_secret()}", new_id()
    row = {"id": id_, "token_hash": hashed(token), "name": usable_name(name), "role": role, "lifetime": lifetime}
    async with engine.begin() as connection:
        expires_at = (await connection.execute(_CREATE, row)).scalar_one()
        after = {"role": role, "expires_at": expires_at}
        await audit.record(connection, actor, action="token.create", entity=f"token/{id_}", after=after)
    return token


async def find_token(engine: AsyncEngine, token_hash: bytes) -> Actor | None:
    """Return whose token it is; ``None`` when it is unknown, revoked or expired. ``engine`` commits by itself."""
    async with engine.connect() as connection:
        row = (await connection.execute(_FIND, {"token_hash": token_hash})).one_or_none()
        if row is not None and row.stale:
            await connection.execute(_USED, {"id": row.id})
    return Actor(row.id, row.name, Role(row.role)) if row is not None else None


async def list_tokens(engine: AsyncEngine) -> Sequence[RowMapping]:
    """Return all tokens, but for the secrets nobody has."""
    async with engine.connect() as connection:
        return (await connection.execute(_LIST)).mappings().all()


async def revoke_token(engine: AsyncEngine, actor: Actor, *, token_id: UUID) -> None:
    """Let nobody in by this token any more; commits. Raises :class:`StaffRefusal`."""
    async with engine.begin() as connection:
        if not (await connection.execute(_REVOKE, {"id": token_id})).rowcount:
            raise StaffRefusal(f"There is no token {token_id}, or it is revoked already.")
        before, after = {"revoked": False}, {"revoked": True}
        entity = f"token/{token_id}"
        await audit.record(connection, actor, action="token.revoke", entity=entity, before=before, after=after)
