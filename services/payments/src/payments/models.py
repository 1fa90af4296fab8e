"""The tables of objects, payments and what is known of bookings: how they are locked, read and written.

Locks are taken in one order by everybody: booking names and links, the matching lock, object rows by id, payment rows
by id, fetch requests by id. Nobody commits here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments.domain.evidence import Provenance
from payments.domain.objects import Amount, StripeObject
from payments.domain.payment import PaymentState, PaymentStatus
from payments.domain.versions import Kept

_KEPT = TypeAdapter(Kept)
_PROVENANCE = TypeAdapter(Provenance)
_MATCHING = 7_301_955_101


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


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment. ``state`` is ``None`` while nothing is known of it but its id.

    ``sequence`` counts published snapshots, ``changed_at`` is the time of the last. A booking given or taken away by
    hand (``matched_by_hand``) stands whatever the payment's keys name. ``provenance`` is what a migrated one rests on.
    """

    id: UUID
    sequence: int = 0
    booking_id: str | None = None
    user_id: str | None = None
    state: PaymentState | None = None
    changed_at: datetime | None = None
    migrated: bool = False
    matched_by_hand: bool = False
    provenance: Provenance | None = None


# Payments look for a booking's names and bookings look for payments that name them, each unseen by the other until
# commit. Processing holds this shared and a booking with new names alone, so one of the two always sees the other.
_SHARE_MATCHING = text("SELECT pg_advisory_xact_lock_shared(:key)")
_OWN_MATCHING = text("SELECT pg_advisory_xact_lock(:key)")

# A name is enough to lock: two events of one object, or a refund and its charge, meet here even when neither row was
# there. Sorted, so that overlapping groups wait instead of deadlocking; a new snapshot reads what the wait was for.
_NAME_OBJECTS = text(
    """
    INSERT INTO stripe_object (id)
    SELECT id FROM unnest(CAST(:ids AS text[])) AS id ORDER BY id
    ON CONFLICT DO NOTHING
    """
)
_LOCK_OBJECTS = text(
    """
    SELECT id, payment_id, waits_for, CAST(kept AS text) AS kept FROM stripe_object
    WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR UPDATE
    """
)
_NAME_PAYMENTS = text(
    """
    INSERT INTO payment (id)
    SELECT id FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
    ON CONFLICT DO NOTHING
    """
)
_LOCK_PAYMENTS = text("SELECT * FROM payment WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")
_LOCK_PAYMENTS_CONCERNED = text(
    """
    SELECT * FROM payment
    WHERE booking_keys && CAST(:keys AS text[]) OR booking_id = ANY(CAST(:bookings AS text[]))
    ORDER BY id FOR UPDATE
    """
)
# A name that in the end nothing belongs to (its only object turned out to be of another payment) and nobody heard of.
_FORGET_PAYMENTS = text(
    "DELETE FROM payment WHERE id = ANY(CAST(:ids AS uuid[])) AND sequence = 0 AND NOT matched_by_hand"
)
# All objects of locked payments, and the refunds and disputes that waited for a locked charge: nobody adds to either
# meanwhile.
_OBJECTS_OF = text(
    """
    SELECT id, payment_id, waits_for, CAST(kept AS text) AS kept FROM stripe_object
    WHERE payment_id = ANY(CAST(:payments AS uuid[])) OR waits_for = ANY(CAST(:charges AS text[]))
    """
)
# A name two bookings share belongs to the lower id: arbitrary, but always the same.
_BOOKINGS = text(
    """
    SELECT key, min(booking_id) AS booking_id FROM booking_key WHERE key = ANY(CAST(:keys AS text[])) GROUP BY key
    """
)
_KEPT_OBJECTS = text("SELECT id, CAST(kept AS text) AS kept FROM stripe_object WHERE id = ANY(CAST(:ids AS text[]))")
# What an event said, to tell versions of one second apart; all its deliveries tell the same.
_EVENT_BODIES = text(
    """
    SELECT DISTINCT ON (d.event_id) d.event_id, e.type, d.body
    FROM stripe_delivery d JOIN stripe_event e ON e.id = d.event_id
    WHERE d.event_id = ANY(CAST(:ids AS text[])) ORDER BY d.event_id, d.id
    """
)
_SAVE_OBJECTS = text(
    """
    UPDATE stripe_object SET payment_id = r.payment_id, waits_for = r.waits_for, kept = r.kept
    FROM json_to_recordset(CAST(:rows AS json)) AS r (id text, payment_id uuid, waits_for text, kept json)
    WHERE stripe_object.id = r.id
    """
)
_SAVE_PAYMENTS = text(
    """
    UPDATE payment SET
        sequence = r.sequence, booking_id = r.booking_id, user_id = r.user_id, booking_keys = r.booking_keys,
        stripe_payment_intent_id = r.stripe_payment_intent_id, stripe_charge_id = r.stripe_charge_id,
        stripe_checkout_session_id = r.stripe_checkout_session_id, status = r.status, currency = r.currency,
        amount = r.amount, received = r.received, refunded = r.refunded, disputed = r.disputed,
        open_disputes = r.open_disputes, fee = r.fee, fee_currency = r.fee_currency, method = r.method,
        card_brand = r.card_brand, card_last4 = r.card_last4, paid_at = r.paid_at, created_at = r.created_at,
        changed_at = r.changed_at, matched_by_hand = r.matched_by_hand, provenance = r.provenance
    FROM json_to_recordset(CAST(:rows AS json)) AS r (
        id uuid, sequence bigint, booking_id text, user_id text, booking_keys text[], stripe_payment_intent_id text,
        stripe_charge_id text, stripe_checkout_session_id text, status text, currency text, amount bigint,
        received bigint, refunded bigint, disputed bigint, open_disputes integer, fee bigint, fee_currency text,
        method text, card_brand text, card_last4 text, paid_at timestamptz, created_at timestamptz,
        changed_at timestamptz, matched_by_hand boolean, provenance json
    )
    WHERE payment.id = r.id
    """
)
_ADD_BOOKING_KEYS = text(
    """
    INSERT INTO booking_key (key, booking_id)
    SELECT key, booking_id FROM unnest(CAST(:keys AS text[]), CAST(:bookings AS text[])) AS k (key, booking_id)
    ORDER BY key, booking_id
    ON CONFLICT DO NOTHING
    RETURNING key
    """
)
# The newest link wins whatever order links come in.
_ADD_LINKS = text(
    """
    INSERT INTO booking_link (booking_id, user_id, sequence)
    SELECT booking_id, user_id, sequence
    FROM unnest(CAST(:bookings AS text[]), CAST(:users AS text[]), CAST(:sequences AS bigint[]))
        AS l (booking_id, user_id, sequence)
    ORDER BY booking_id
    ON CONFLICT (booking_id) DO UPDATE SET user_id = excluded.user_id, sequence = excluded.sequence
    WHERE booking_link.sequence < excluded.sequence
    RETURNING booking_id
    """
)
_USERS = text("SELECT booking_id, user_id FROM booking_link WHERE booking_id = ANY(CAST(:bookings AS text[]))")


async def share_matching(connection: AsyncConnection) -> None:
    """Keep bookings from being given new names until the caller's transaction ends."""
    await connection.execute(_SHARE_MATCHING, {"key": _MATCHING})


async def own_matching(connection: AsyncConnection) -> None:
    """Keep payments from being changed by Stripe's events until the caller's transaction ends."""
    await connection.execute(_OWN_MATCHING, {"key": _MATCHING})


async def lock_objects(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, ObjectRow]:
    """Lock objects by id, known or not."""
    names = {"ids": sorted(set(ids))}
    await connection.execute(_NAME_OBJECTS, names)
    return {row.id: _object(row) for row in await connection.execute(_LOCK_OBJECTS, names)}


async def lock_payments(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Payment]:
    """Lock payments by id, known or not. A name forgotten while it was waited for is written again."""
    names = {"ids": sorted(set(ids))}
    while True:
        await connection.execute(_NAME_PAYMENTS, names)
        rows = (await connection.execute(_LOCK_PAYMENTS, names)).all()
        if len(rows) == len(names["ids"]):
            return {row.id: _payment(row) for row in rows}


async def lock_payments_concerned(
    connection: AsyncConnection, *, keys: Iterable[str], bookings: Iterable[str]
) -> list[Payment]:
    """Lock the payments that may name a booking by one of these keys, or belong to one of these bookings."""
    criteria = {"keys": list(keys), "bookings": list(bookings)}
    return [_payment(row) for row in await connection.execute(_LOCK_PAYMENTS_CONCERNED, criteria)]


async def forget_payments(connection: AsyncConnection, ids: Iterable[UUID]) -> None:
    """Remove locked payments nothing belongs to, of those nobody was told of."""
    await connection.execute(_FORGET_PAYMENTS, {"ids": sorted(ids)})


async def objects_of(
    connection: AsyncConnection, payments: Iterable[UUID], *, waiting_for: Iterable[str]
) -> list[ObjectRow]:
    """Return the objects of locked payments, and those waiting for one of these locked charges."""
    criteria = {"payments": list(payments), "charges": list(waiting_for)}
    return [_object(row) for row in await connection.execute(_OBJECTS_OF, criteria)]


async def kept(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Kept]:
    """Return what is kept of objects, of those that are known, without locking them."""
    rows = await connection.execute(_KEPT_OBJECTS, {"ids": list(ids)})
    return {row.id: _KEPT.validate_json(row.kept) for row in rows if row.kept is not None}


async def kept_objects(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, StripeObject]:
    """Return objects as they are known, of those that are, without locking them."""
    return {id_: known.object for id_, known in (await kept(connection, ids)).items()}


async def event_bodies(connection: AsyncConnection, ids: Iterable[str]) -> list[tuple[str, str, bytes]]:
    """Return id, type and bytes of stored events."""
    rows = await connection.execute(_EVENT_BODIES, {"ids": sorted(set(ids))})
    return [(row.event_id, row.type, row.body) for row in rows]


async def bookings_by_key(connection: AsyncConnection, keys: Iterable[str]) -> dict[str, str]:
    """Return the booking of each key that names one."""
    rows = await connection.execute(_BOOKINGS, {"keys": sorted(set(keys))})
    return {row.key: row.booking_id for row in rows}


async def add_booking_keys(connection: AsyncConnection, names: Iterable[tuple[str, str]]) -> list[str]:
    """Remember (key, booking id) pairs; return the keys of those that are new."""
    pairs = sorted(set(names))
    columns = {"keys": [key for key, _ in pairs], "bookings": [booking for _, booking in pairs]}
    return list((await connection.execute(_ADD_BOOKING_KEYS, columns)).scalars())


async def add_links(connection: AsyncConnection, links: Mapping[str, tuple[int, str]]) -> list[str]:
    """Remember whose bookings are, as sequence and user by booking; return the bookings whose link is news."""
    rows = sorted(links.items())
    columns = {
        "bookings": [booking for booking, _ in rows],
        "users": [user for _, (_, user) in rows],
        "sequences": [sequence for _, (sequence, _) in rows],
    }
    return list((await connection.execute(_ADD_LINKS, columns)).scalars())


async def users_by_booking(connection: AsyncConnection, bookings: Iterable[str]) -> dict[str, str]:
    """Return the user of each booking that is linked."""
    rows = await connection.execute(_USERS, {"bookings": sorted(set(bookings))})
    return {row.booking_id: row.user_id for row in rows}


async def save_objects(connection: AsyncConnection, rows: Sequence[ObjectRow]) -> None:
    """Write locked objects back."""
    await _write(connection, _SAVE_OBJECTS, [_object_columns(row) for row in rows])


async def save_payments(connection: AsyncConnection, payments: Sequence[Payment]) -> None:
    """Write locked payments back."""
    await _write(connection, _SAVE_PAYMENTS, [_payment_columns(payment) for payment in payments])


async def _write(connection: AsyncConnection, statement: TextClause, rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        await connection.execute(statement, {"rows": to_json(rows).decode()})


def _object(row: Row[tuple[object, ...]]) -> ObjectRow:
    known = None if row.kept is None else _KEPT.validate_json(row.kept)
    return ObjectRow(row.id, row.payment_id, row.waits_for, known)


def _object_columns(row: ObjectRow) -> dict[str, object]:
    return {
        "id": row.id,
        "payment_id": row.payment_id,
        "waits_for": row.waits_for,
        "kept": None if row.kept is None else _KEPT.dump_python(row.kept, mode="json"),
    }


def _payment(row: Row[tuple[object, ...]]) -> Payment:
    return Payment(
        id=row.id,
        sequence=row.sequence,
        booking_id=row.booking_id,
        user_id=row.user_id,
        state=None if row.currency is None else _state(row),
        changed_at=row.changed_at,
        migrated=row.migrated,
        matched_by_hand=row.matched_by_hand,
        provenance=None if row.provenance is None else _PROVENANCE.validate_python(row.provenance),
    )


def _state(row: Row[tuple[object, ...]]) -> PaymentState:
    return PaymentState(
        status=PaymentStatus(row.status),
        currency=row.currency,
        amount=row.amount,
        received=row.received,
        refunded=row.refunded,
        disputed=row.disputed,
        open_disputes=row.open_disputes,
        fee=None if row.fee is None else Amount(row.fee, row.fee_currency),
        method=row.method,
        card_brand=row.card_brand,
        card_last4=row.card_last4,
        payment_intent=row.stripe_payment_intent_id,
        charge=row.stripe_charge_id,
        checkout_session=row.stripe_checkout_session_id,
        paid_at=row.paid_at,
        created_at=row.created_at,
        booking_keys=tuple(row.booking_keys),
    )


def _payment_columns(payment: Payment) -> dict[str, object]:
    state = payment.state
    if state is None:
        raise ValueError(f"nothing is known of payment {payment.id}")
    return {
        "id": payment.id,
        "sequence": payment.sequence,
        "booking_id": payment.booking_id,
        "user_id": payment.user_id,
        "booking_keys": state.booking_keys,
        "stripe_payment_intent_id": state.payment_intent,
        "stripe_charge_id": state.charge,
        "stripe_checkout_session_id": state.checkout_session,
        "status": state.status,
        "currency": state.currency,
        "amount": state.amount,
        "received": state.received,
        "refunded": state.refunded,
        "disputed": state.disputed,
        "open_disputes": state.open_disputes,
        "fee": state.fee.minor if state.fee else None,
        "fee_currency": state.fee.currency if state.fee else None,
        "method": state.method,
        "card_brand": state.card_brand,
        "card_last4": state.card_last4,
        "paid_at": state.paid_at,
        "created_at": state.created_at,
        "changed_at": payment.changed_at,
        "matched_by_hand": payment.matched_by_hand,
        "provenance": None if payment.provenance is None else _PROVENANCE.dump_python(payment.provenance, mode="json"),
    }
