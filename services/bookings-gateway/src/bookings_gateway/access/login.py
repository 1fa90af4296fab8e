"""Logging in and out by password."""

from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.access import audit, throttle
from bookings_gateway.access.accounts import normalised_email
from bookings_gateway.access.actor import Actor, Role
from bookings_gateway.access.errors import WrongCredentials
from bookings_gateway.access.passwords import hash_password, needs_rehash, verify_password
from bookings_gateway.access.sessions import Sessions

log = structlog.get_logger(__name__)

_ACCOUNT = text("SELECT id, password_hash FROM staff WHERE email = :email AND disabled_at IS NULL")
# Once more, now holding the row: a password changed, or an account disabled, since it was read above lets nobody in,
# and whoever changes the account after this waits, and then ends the session made here.
_HOLD = text(
    """
    SELECT id, name, role FROM staff
    WHERE id = :id AND password_hash = :password_hash AND disabled_at IS NULL FOR UPDATE
    """
)
_REHASH = text("UPDATE staff SET password_hash = :password_hash WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Attempted:
    """What somebody who wants in has sent. ``session_id`` is that of the cookie they came with, if any."""

    email: str
    password: str
    address: str
    session_id: str | None


@dataclass(frozen=True, slots=True)
class _Verified:
    """An account whose password was right; ``new_hash`` is set where the stored one is out of date."""

    id: UUID
    password_hash: str
    new_hash: str | None


async def log_in(engine: AsyncEngine, sessions: Sessions, attempted: Attempted) -> tuple[str, Actor]:
    """Return the id of a fresh session, and whose it is.

    Raises :class:`TooManyAttempts`, or :class:`WrongCredentials` after the same work for every reason. Whatever
    session they came with ends: nobody is left in one that somebody else may know.
    """
    email = normalised_email(attempted.email)
    attempt = await throttle.take(engine, email=email, address=attempted.address)
    verified = await _verify(engine, email, attempted.password)
    async with engine.begin() as connection:
        actor = await _hold(connection, verified)
        if attempted.session_id:
            await sessions.end(connection, attempted.session_id)
        session_id = await sessions.open(connection, actor.id)
        await throttle.forgive(connection, attempt)
        await audit.record(connection, actor, action="session.open", entity=f"staff/{actor.id}")
    return session_id, actor


async def log_out(engine: AsyncEngine, sessions: Sessions, actor: Actor, session_id: str) -> None:
    """End the session."""
    async with engine.begin() as connection:
        await sessions.end(connection, session_id)
        await audit.record(connection, actor, action="session.end", entity=f"staff/{actor.id}")


async def _verify(engine: AsyncEngine, email: str, password: str) -> _Verified:
    async with engine.connect() as connection:
        account = (await connection.execute(_ACCOUNT, {"email": email})).one_or_none()
    right = await verify_password(password, account.password_hash if account else None)
    if account is None or not right:
        log.info("login_refused", staff_id=str(account.id) if account else None)
        raise WrongCredentials
    new_hash = await hash_password(password) if needs_rehash(account.password_hash) else None
    return _Verified(account.id, account.password_hash, new_hash)


async def _hold(connection: AsyncConnection, verified: _Verified) -> Actor:
    wanted = {"id": verified.id, "password_hash": verified.password_hash}
    row = (await connection.execute(_HOLD, wanted)).one_or_none()
    if row is None:
        raise WrongCredentials
    if verified.new_hash:
        await connection.execute(_REHASH, {"id": verified.id, "password_hash": verified.new_hash})
    return Actor(row.id, row.name, Role(row.role))
