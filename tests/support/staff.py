"""Staff who may use the gateway's admin API: accounts and tokens made directly in its database."""

from datetime import timedelta
from functools import cache
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from argon2.profiles import RFC_9106_LOW_MEMORY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access.actor import Actor, Role
from bookings_gateway.access.tokens import create_token
from bookings_gateway.main import SEARCH_PATH
from shared.database import create_engine

PASSWORD = "seven rather long words, and no more"
SOMEBODY = Actor(UUID(int=7), "somebody", Role.ADMIN)

_ADD = text(
    "INSERT INTO staff (id, email, name, role, password_hash) VALUES (:id, :email, :name, :role, :password_hash)"
)


async def bearer(engine: AsyncEngine, role: Role = Role.ADMIN, *, days: int = 1) -> dict[str, str]:
    """Return the header of a new token."""
    token = await create_token(engine, SOMEBODY, name=f"{role} of a test", role=role, lifetime=timedelta(days=days))
    return {"Authorization": f"Bearer {token}"}


async def bearer_at(url: str, role: Role = Role.ADMIN) -> dict[str, str]:
    """Return the header of a new token for the gateway whose database is at ``url``."""
    engine = create_engine(url, name="tests", search_path=SEARCH_PATH)
    try:
        return await bearer(engine, role)
    finally:
        await engine.dispose()


async def add_account(engine: AsyncEngine, email: str = "ann@office.example", *, role: Role = Role.ADMIN) -> UUID:
    """Make an account with :data:`PASSWORD` and return its id."""
    id_ = uuid4()
    row = {"id": id_, "email": email, "name": email.split("@")[0], "role": role, "password_hash": _hash()}
    async with engine.begin() as connection:
        await connection.execute(_ADD, row)
    return id_


@cache
def _hash() -> str:
    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY).hash(PASSWORD)
