"""Stripe's objects: the newest version of each, and what is kept to compare the next one with."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments.domain.settled import unsettled_since
from payments.domain.versions import Kept
from payments.models.bookings import MATCHING


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One Stripe object. ``waits_for`` is the charge a refund or dispute must learn its payment from."""

    id: str
    payment_id: UUID | None = None
    waits_for: str | None = None
    kept: Kept | None = None

    @property
    def home(self) -> UUID | str | None:
        """Where it is found: its payment, or the charge it waits for."""
        return self.payment_id or self.waits_for


_KEPT = TypeAdapter(Kept)

# A name is enough to lock: two events of one object, or a refund and its charge, meet here even when neither row was
# there. Sorted, so that overlapping groups wait instead of deadlocking, and charges first, because whoever holds a
# charge writes the refunds and disputes that wait for it too. What was there is then read by a statement of its own,
# whose new snapshot sees what the wait was for. The matching lock is taken before the first name.
_NAME = text(
    """
    WITH matching AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(:matching))
    INSERT INTO stripe_object (id)
    SELECT id FROM matching, unnest(CAST(:ids AS text[])) AS id
    ORDER BY left(id, 3) NOT IN ('ch_', 'py_'), id
    ON CONFLICT DO NOTHING
    RETURNING id
    """
)
_LOCK = text(
    """
    SELECT id, payment_id, waits_for, CAST(kept AS text) AS kept FROM stripe_object
    WHERE id = ANY(CAST(:ids AS text[]))
    ORDER BY left(id, 3) NOT IN ('ch_', 'py_'), id FOR UPDATE
    """
)
# All objects of locked payments, and the refunds and disputes that waited for a locked charge: nobody adds to either
# meanwhile.
_OF = text(
    """
    SELECT id, payment_id, waits_for, CAST(kept AS text) AS kept FROM stripe_object
    WHERE payment_id = ANY(CAST(:payments AS uuid[])) OR waits_for = ANY(CAST(:charges AS text[]))
    """
)
_KNOWN = text("SELECT id, CAST(kept AS text) AS kept FROM stripe_object WHERE id = ANY(CAST(:ids AS text[]))")
# What an event said, to tell versions of one second apart; all its deliveries tell the same.
_EVENT_BODIES = text(
    """
    SELECT DISTINCT ON (d.event_id) d.event_id, e.type, d.body
    FROM stripe_delivery d JOIN stripe_event e ON e.id = d.event_id
    WHERE d.event_id = ANY(CAST(:ids AS text[])) ORDER BY d.event_id, d.id
    """
)
_SAVE = text(
    """
    UPDATE stripe_object SET payment_id = r.payment_id, waits_for = r.waits_for, kept = r.kept, unsettled = r.unsettled
    FROM json_to_recordset(CAST(:rows AS json))
        AS r (id text, payment_id uuid, waits_for text, kept json, unsettled bigint)
    WHERE stripe_object.id = r.id
    """
)


_UNSETTLED = text(
    """
    SELECT kept #>> '{newest,object,kind}' AS kind, id FROM stripe_object WHERE unsettled >= :since ORDER BY id
    """
)


async def lock_objects(connection: AsyncConnection, ids: Iterable[str]) -> tuple[dict[str, ObjectRow], set[str]]:
    """Lock objects by id, and return them with the ids of those that are new.

    Until the caller's transaction ends no booking is given a new name either.
    """
    names = sorted(set(ids))
    new = set((await connection.execute(_NAME, {"ids": names, "matching": MATCHING})).scalars())
    rows = {name: ObjectRow(name) for name in names}
    if known := [name for name in names if name not in new]:
        rows |= {row.id: _object(row) for row in await connection.execute(_LOCK, {"ids": known})}
    return rows, new


async def objects_of(
    connection: AsyncConnection, payments: Collection[UUID], *, waiting_for: Collection[str]
) -> list[ObjectRow]:
    """Return the objects of locked payments, and those waiting for one of these locked charges."""
    if not payments and not waiting_for:
        return []
    criteria = {"payments": list(payments), "charges": list(waiting_for)}
    return [_object(row) for row in await connection.execute(_OF, criteria)]


async def kept(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Kept]:
    """Return what is kept of objects, of those that are known, without locking them."""
    rows = await connection.execute(_KNOWN, {"ids": list(ids)})
    return {row.id: _KEPT.validate_json(row.kept) for row in rows if row.kept is not None}


async def event_bodies(connection: AsyncConnection, ids: Iterable[str]) -> list[tuple[str, str, bytes]]:
    """Return id, type and bytes of stored events."""
    rows = await connection.execute(_EVENT_BODIES, {"ids": sorted(set(ids))})
    return [(row.event_id, row.type, row.body) for row in rows]


async def save_objects(connection: AsyncConnection, rows: Sequence[ObjectRow]) -> None:
    """Write locked objects back."""
    if rows:  # the driver reads UUIDs as a class of its own, hence `str`
        written = [_columns(row) for row in rows]
        await connection.execute(_SAVE, {"rows": orjson.dumps(written, default=str).decode()})


async def unsettled(connection: AsyncConnection, *, since: int) -> list[tuple[str, str]]:
    """Return kind and id of the objects that a walk from the unix second ``since`` on reads again."""
    return [(row.kind, row.id) for row in await connection.execute(_UNSETTLED, {"since": since})]


def _columns(row: ObjectRow) -> dict[str, object]:
    return {
        "id": row.id,
        "payment_id": row.payment_id,
        "waits_for": row.waits_for,
        "kept": row.kept,
        "unsettled": unsettled_since(row.kept) if row.kept else None,
    }


def _object(row: Row[tuple[object, ...]]) -> ObjectRow:
    known = None if row.kept is None else _KEPT.validate_json(row.kept)
    return ObjectRow(row.id, row.payment_id, row.waits_for, known)
