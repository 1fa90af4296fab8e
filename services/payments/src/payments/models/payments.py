"""Payments as they are told: one row each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments.domain.evidence import Provenance
from payments.domain.objects import Amount
from payments.domain.payment import PaymentState, PaymentStatus


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


_PROVENANCE = TypeAdapter(Provenance)

_NAME_PAYMENTS = text(
    """
    INSERT INTO payment (id)
    SELECT id FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
    ON CONFLICT DO NOTHING
    RETURNING id
    """
)
_LOCK_PAYMENTS = text("SELECT * FROM payment WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")
# Found first, by the two indexes; in the order of their ids they would be found by going through all payments. Nobody
# changes what they are found by meanwhile: whoever asks owns the matching lock.
_LOCK_PAYMENTS_CONCERNED = text(
    """
    WITH concerned AS MATERIALIZED (
        SELECT id FROM payment
        WHERE booking_keys && CAST(:keys AS text[]) OR booking_id = ANY(CAST(:bookings AS text[]))
    )
    SELECT * FROM payment
    WHERE id = ANY(ARRAY(SELECT id FROM concerned WHERE id <> ALL(CAST(:known AS uuid[]))))
    ORDER BY id FOR UPDATE
    """
)
# One that was taken back rests on nothing, and is not looked at again.
_LOCK_PAYMENTS_PROVED = text(
    """
    WITH proved AS MATERIALIZED (
        SELECT id FROM payment
        WHERE booking_id = ANY(CAST(:bookings AS text[])) AND migrated AND stripe_payment_intent_id IS NULL
            AND provenance IS NOT NULL
    )
    SELECT * FROM payment WHERE id = ANY(ARRAY(SELECT id FROM proved)) ORDER BY id FOR UPDATE
    """
)
# A name that in the end nothing belongs to (its only object turned out to be of another payment) and nobody heard of.
# Of a payment of history nobody may have heard yet, either.
_FORGET_PAYMENTS = text(
    """
    DELETE FROM payment
    WHERE id = ANY(CAST(:ids AS uuid[])) AND sequence = 0 AND NOT matched_by_hand AND NOT migrated
    """
)
# Not as a join, whose plan, made while the table is small, would be kept when it is not: by its id each row finds its
# payment, known or new. Whoever saves holds the row's lock, or is alone in naming payments.
_SAVE_PAYMENTS = text(
    """
    INSERT INTO payment (
        id, sequence, booking_id, user_id, booking_keys, stripe_payment_intent_id, stripe_charge_id,
        stripe_checkout_session_id, status, currency, amount, received, refunded, disputed, open_disputes, fee,
        fee_currency, method, card_brand, card_last4, paid_at, created_at, changed_at, migrated,
        matched_by_hand, provenance
    )
    SELECT
        id, sequence, booking_id, user_id, booking_keys, stripe_payment_intent_id, stripe_charge_id,
        stripe_checkout_session_id, status, currency, amount, received, refunded, disputed, open_disputes, fee,
        fee_currency, method, card_brand, card_last4, paid_at, created_at, changed_at, migrated,
        matched_by_hand, provenance
    FROM json_to_recordset(CAST(:rows AS json)) AS r (
        id uuid, sequence bigint, booking_id text, user_id text, booking_keys text[], stripe_payment_intent_id text,
        stripe_charge_id text, stripe_checkout_session_id text, status text, currency text, amount bigint,
        received bigint, refunded bigint, disputed bigint, open_disputes integer, fee bigint, fee_currency text,
        method text, card_brand text, card_last4 text, paid_at timestamptz, created_at timestamptz,
        changed_at timestamptz, migrated boolean, matched_by_hand boolean, provenance json
    )
    ON CONFLICT (id) DO UPDATE SET
        sequence = excluded.sequence, booking_id = excluded.booking_id, user_id = excluded.user_id,
        booking_keys = excluded.booking_keys, stripe_payment_intent_id = excluded.stripe_payment_intent_id,
        stripe_charge_id = excluded.stripe_charge_id,
        stripe_checkout_session_id = excluded.stripe_checkout_session_id, status = excluded.status,
        currency = excluded.currency, amount = excluded.amount, received = excluded.received,
        refunded = excluded.refunded, disputed = excluded.disputed, open_disputes = excluded.open_disputes,
        fee = excluded.fee, fee_currency = excluded.fee_currency, method = excluded.method,
        card_brand = excluded.card_brand, card_last4 = excluded.card_last4, paid_at = excluded.paid_at,
        created_at = excluded.created_at, changed_at = excluded.changed_at, migrated = excluded.migrated,
        matched_by_hand = excluded.matched_by_hand, provenance = excluded.provenance
    """
)


async def lock_payments(connection: AsyncConnection, ids: Iterable[UUID]) -> tuple[dict[UUID, Payment], set[UUID]]:
    """Lock payments by id, and return them with the ids of those that are new."""
    names = sorted(set(ids))
    while True:
        new = set((await connection.execute(_NAME_PAYMENTS, {"ids": names})).scalars())
        known = [name for name in names if name not in new]
        rows = (await connection.execute(_LOCK_PAYMENTS, {"ids": known})).all() if known else []
        if len(rows) == len(known):
            return {name: Payment(name) for name in new} | {row.id: _payment(row) for row in rows}, new
        # One was forgotten while it was waited for: its name is written again.


async def lock_payments_alone(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Payment]:
    """Lock payments by id; new ones need no name to be locked by, for whoever owns the matching lock names alone."""
    names = sorted(set(ids))
    rows = (await connection.execute(_LOCK_PAYMENTS, {"ids": names})).all()
    return {name: Payment(name) for name in names} | {row.id: _payment(row) for row in rows}


async def lock_payment(connection: AsyncConnection, id_: UUID) -> Payment:
    """Lock one payment, known or not."""
    return (await lock_payments(connection, [id_]))[0][id_]


async def lock_payments_concerned(
    connection: AsyncConnection, *, keys: Iterable[str], bookings: Iterable[str], known: Iterable[UUID]
) -> list[Payment]:
    """Lock the payments that may name a booking by one of these keys, or belong to one of these bookings.

    But for those ``known``, which the caller looked at.
    """
    criteria = {"keys": list(keys), "bookings": list(bookings), "known": list(known)}
    return [_payment(row) for row in (await connection.execute(_LOCK_PAYMENTS_CONCERNED, criteria)).all()]


async def lock_payments_proved(connection: AsyncConnection, bookings: Iterable[str]) -> dict[UUID, Payment]:
    """Lock the payments of these bookings that rest on history alone: by id, and after all others."""
    rows = await connection.execute(_LOCK_PAYMENTS_PROVED, {"bookings": list(bookings)})
    return {row.id: _payment(row) for row in rows}


async def forget_payments(connection: AsyncConnection, ids: Iterable[UUID]) -> None:
    """Remove locked payments nothing belongs to, of those nobody was told of."""
    await connection.execute(_FORGET_PAYMENTS, {"ids": sorted(ids)})


async def save_payments(connection: AsyncConnection, payments: Sequence[Payment]) -> None:
    """Write locked payments, new or known."""
    if payments:  # the driver reads UUIDs as a class of its own, hence `str`
        rows = [_payment_columns(payment) for payment in payments]
        await connection.execute(_SAVE_PAYMENTS, {"rows": orjson.dumps(rows, default=str).decode()})


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
        "migrated": payment.migrated,
        "matched_by_hand": payment.matched_by_hand,
        "provenance": payment.provenance,
    }
