"""Staff accounts. Each use case commits its own transaction, with its line in the audit."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.access import audit
from bookings_gateway.access.actor import Actor, Role
from bookings_gateway.access.errors import StaffRefusal
from bookings_gateway.access.names import usable_name
from bookings_gateway.access.passwords import LONGEST, SHORTEST, hash_password
from shared.ids import new_id

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LONGEST_EMAIL = 254

_ADD = text(
    """
    INSERT INTO staff (id, email, name, role, password_hash) VALUES (:id, :email, :name, :role, :password_hash)
    """
)
_LIST = text("SELECT email, name, role, created_at, disabled_at FROM staff ORDER BY email")
# The row lock makes a change of the account and a login one after the other: see log_in.
_HOLD = text("SELECT id, role, disabled_at IS NOT NULL AS disabled FROM staff WHERE email = :email FOR UPDATE")
_SET_ROLE = text("UPDATE staff SET role = :role WHERE id = :id")
_SET_PASSWORD = text("UPDATE staff SET password_hash = :password_hash WHERE id = :id")
_DISABLE = text("UPDATE staff SET disabled_at = now() WHERE id = :id")
_ENABLE = text("UPDATE staff SET disabled_at = NULL WHERE id = :id")
_END_SESSIONS = text("DELETE FROM staff_session WHERE staff_id = :id")


def normalised_email(email: str) -> str:
    """Return the form an account is kept and found under."""
    return unicodedata.normalize("NFC", email).strip().lower()


async def add_staff(engine: AsyncEngine, actor: Actor, *, email: str, name: str, role: Role, password: str) -> UUID:
    """Make an account and return its id; raises :class:`StaffRefusal`."""
    address, id_ = normalised_email(email), new_id()
    if not _EMAIL.fullmatch(address) or len(address) > _LONGEST_EMAIL:
        raise StaffRefusal(f"{email!r} is no e-mail address.")
    row = {"id": id_, "email": address, "name": usable_name(name.strip() or address), "role": role}
    password_hash = await _usable_hash(password, address)
    try:
        async with engine.begin() as connection:
            await connection.execute(_ADD, {**row, "password_hash": password_hash})
            after = {"email": address, "name": name, "role": role, "password": password_hash}
            await audit.record(connection, actor, action="staff.add", entity=f"staff/{id_}", after=after)
    except IntegrityError as error:
        raise StaffRefusal(f"{address} has an account already.") from error
    return id_


async def list_staff(engine: AsyncEngine) -> Sequence[RowMapping]:
    """Return all accounts: e-mail, name, role, when made, when disabled."""
    async with engine.connect() as connection:
        return (await connection.execute(_LIST)).mappings().all()


async def set_role(engine: AsyncEngine, actor: Actor, *, email: str, role: Role) -> None:
    """Give another role, and end the account's sessions; raises :class:`StaffRefusal`."""
    async with engine.begin() as connection:
        account = await _hold(connection, email)
        await connection.execute(_SET_ROLE, {"id": account["id"], "role": role})
        before, after = {"role": account["role"]}, {"role": role}
        await _changed(connection, actor, "staff.set-role", account, before=before, after=after)


async def set_password(engine: AsyncEngine, actor: Actor, *, email: str, password: str) -> None:
    """Give another password, and end the account's sessions; raises :class:`StaffRefusal`."""
    password_hash = await _usable_hash(password, normalised_email(email))
    async with engine.begin() as connection:
        account = await _hold(connection, email)
        await connection.execute(_SET_PASSWORD, {"id": account["id"], "password_hash": password_hash})
        await _changed(connection, actor, "staff.set-password", account, after={"password": password_hash})


async def disable(engine: AsyncEngine, actor: Actor, *, email: str) -> None:
    """Let nobody in by this account, and end its sessions; raises :class:`StaffRefusal`."""
    async with engine.begin() as connection:
        account = await _hold(connection, email)
        await connection.execute(_DISABLE, {"id": account["id"]})
        before = {"disabled": account["disabled"]}
        await _changed(connection, actor, "staff.disable", account, before=before, after={"disabled": True})


async def enable(engine: AsyncEngine, actor: Actor, *, email: str) -> None:
    """Let the account in again; raises :class:`StaffRefusal`."""
    async with engine.begin() as connection:
        account = await _hold(connection, email)
        await connection.execute(_ENABLE, {"id": account["id"]})
        before = {"disabled": account["disabled"]}
        await _changed(connection, actor, "staff.enable", account, before=before, after={"disabled": False})


async def _hold(connection: AsyncConnection, email: str) -> RowMapping:
    address = normalised_email(email)
    account = (await connection.execute(_HOLD, {"email": address})).mappings().one_or_none()
    if account is None:
        raise StaffRefusal(f"{address} has no account.")
    return account


async def _changed(
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    account: RowMapping,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any],
) -> None:
    await connection.execute(_END_SESSIONS, {"id": account["id"]})
    await audit.record(connection, actor, action=action, entity=f"staff/{account['id']}", before=before, after=after)


async def _usable_hash(password: str, email: str) -> str:
    """Length is what makes a password hard to guess (NIST SP 800-63B, 3.1.1); raises :class:`StaffRefusal`."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise StaffRefusal(f"A password has {SHORTEST} to {LONGEST} characters.")
    if password.lower() == email:
        raise StaffRefusal("The password is the e-mail address.")
    return await hash_password(password)
