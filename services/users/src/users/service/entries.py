"""What staff write about people: notes, and communications with them.

They stay with the user they were written about; whoever counts as one person is shown together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.ids import new_id
from users.errors import KeyReused, NoSuchUser, UserIsErased
from users.service.find_user import same_person
from users.service.paging import Page, moment_and_id, page_of

# Held until the entry is committed: an erasure waits for it, and one that came before is seen.
_HOLD = text("SELECT erased_at FROM users WHERE id = :id FOR SHARE")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of entry: its statements."""

    columns: tuple[str, ...]
    insert: TextClause
    find: TextClause
    newest: TextClause


def _kind(table: str, *columns: str) -> Kind:
    """Names are ours. The key decides a race of two equal requests: the loser finds the winner's row."""
    names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    return Kind(
        columns,
        text(
            f"""
            INSERT INTO {table} (id, user_id, created_at, idempotency_key, {names})
            VALUES (:id, :user_id, clock_timestamp(), :key, {values})
            ON CONFLICT (idempotency_key) DO NOTHING
            RETURNING *
            """  # noqa: S608
        ),
        text(f"SELECT * FROM {table} WHERE idempotency_key = :key"),  # noqa: S608
        text(
            f"""
            SELECT * FROM {table}
            WHERE user_id = ANY(CAST(:ids AS uuid[]))
              AND (CAST(:time AS timestamptz) IS NULL OR (created_at, id) < (:time, CAST(:before AS uuid)))
            ORDER BY created_at DESC, id DESC LIMIT :limit
            """  # noqa: S608
        ),
    )


NOTES = _kind("note", "kind", "text", "internal", "author")
COMMUNICATIONS = _kind("communication", "channel", "direction", "subject", "body", "status", "booking_id", "author")


async def write_entry(
    engine: AsyncEngine, kind: Kind, user_id: UUID, *, values: Mapping[str, Any], key: str
) -> tuple[RowMapping, bool]:
    """Write an entry about a user and commit; return it, and whether it is new or was written before with this key.

    Raises :class:`NoSuchUser`, :class:`UserIsErased`, or :class:`KeyReused` if the key stands for another entry.
    """
    async with engine.begin() as connection:
        await _hold(connection, user_id)
        inserted = await connection.execute(kind.insert, {**values, "id": new_id(), "user_id": user_id, "key": key})
        row = inserted.mappings().one_or_none()
        if row is not None:
            return row, True
        found = (await connection.execute(kind.find, {"key": key})).mappings().one()
    if found["user_id"] != user_id or any(found[name] != values[name] for name in kind.columns):
        raise KeyReused
    return found, False


async def list_entries(engine: AsyncEngine, kind: Kind, user_id: UUID, *, limit: int, cursor: str | None) -> Page:
    """Return a page of entries about a person, newest first. Raises ``NoSuchUser`` or ``UnusableCursor``."""
    time, before = moment_and_id(cursor)
    async with engine.connect() as connection:
        ids = await same_person(connection, user_id)
        criteria = {"ids": ids, "time": time, "before": before, "limit": limit + 1}
        rows = (await connection.execute(kind.newest, criteria)).mappings().all()
    return page_of(rows, limit, "created_at", "id")


async def _hold(connection: AsyncConnection, user_id: UUID) -> None:
    row = (await connection.execute(_HOLD, {"id": user_id})).one_or_none()
    if row is None:
        raise NoSuchUser(user_id)
    if row.erased_at:
        raise UserIsErased(user_id)
