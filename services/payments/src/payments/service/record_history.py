"""Record: what an import says of historical payments becomes payments, once each, and can be taken back.

The newest the import said of a booking stands, so any order and number of its events ends in the same payments. A
payment with a PaymentIntent has the id it has by Stripe's own events: the two are one. One without gives way while
another payment of its booking, by Stripe or by hand, is of the same amount: whichever came first, it is the same money.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID, uuid5

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments import models
from payments.domain.evidence import Evidence, Provenance, with_evidence
from payments.domain.payment import PaymentState, PaymentStatus, state_of
from payments.domain.versions import Kept
from payments.models import Payment
from payments.service.announce import Bookings, Cause, matched
from payments.service.payment_ids import payment_id_of
from shared.contracts import BookingSnapshot
from shared.event_log import NewEvent
from shared.events import Event
from shared.money import to_minor
from shared.turns import in_turns

_NAMESPACE = UUID("7f4ad1c6-0d0e-5b8e-9a35-55c2a4b0f2ce")
_EVIDENCE = TypeAdapter(Evidence)

# The newest wins whatever order they come in; what a booking proved before is returned to be looked at again.
_SAY = text(
    """
    WITH told AS (
        SELECT booking_id, sequence, payment_id, said
        FROM unnest(CAST(:bookings AS text[]), CAST(:sequences AS bigint[]), CAST(:payments AS uuid[]),
                    CAST(:said AS json[])) AS t (booking_id, sequence, payment_id, said)
        ORDER BY booking_id
    ), before AS (
        SELECT (SELECT e.payment_id FROM booking_evidence e
                WHERE e.booking_id = t.booking_id AND e.sequence < t.sequence) AS payment_id
        FROM told t
    ), said AS (
        INSERT INTO booking_evidence AS e (booking_id, sequence, payment_id, said) SELECT * FROM told
        ON CONFLICT (booking_id) DO UPDATE
        SET sequence = excluded.sequence, payment_id = excluded.payment_id, said = excluded.said
        WHERE e.sequence < excluded.sequence
        RETURNING payment_id
    )
    SELECT payment_id FROM said WHERE payment_id IS NOT NULL
    UNION SELECT payment_id FROM before WHERE payment_id IS NOT NULL
    """
)
# Two bookings that claim one payment: the lower id has it, as everywhere. Without an intent it gives way to another
# payment of the booking it belongs to, but to none that itself rests on a row alone.
_EVIDENCE_OF = text(
    """
    SELECT DISTINCT ON (e.payment_id) e.payment_id, CAST(e.said AS text) AS said,
           e.canceled_at IS NOT NULL OR (e.said ->> 'payment_intent' IS NULL AND EXISTS (
               SELECT FROM payment o
               WHERE o.booking_id = coalesce((SELECT p.booking_id FROM payment p
                                              WHERE p.id = e.payment_id AND p.matched_by_hand), e.booking_id)
                 AND o.id <> e.payment_id AND o.status = 'succeeded' AND o.currency = e.said ->> 'currency'
                 AND o.received = CAST(e.said ->> 'amount' AS bigint)
                 AND NOT (o.migrated AND o.stripe_payment_intent_id IS NULL)
           )) AS canceled
    FROM booking_evidence e
    WHERE e.payment_id = ANY(CAST(:payments AS uuid[])) ORDER BY e.payment_id, e.booking_id
    """
)


async def record_history(
    connection: AsyncConnection, told: Sequence[tuple[Event, BookingSnapshot]]
) -> tuple[Collection[UUID], list[NewEvent]]:
    """Record or take back the payments of imported bookings. The caller commits.

    Returns the payments this looked at, and the snapshots to publish. The bookings' own keys and links were remembered
    before (``remember_names``).
    """
    newest = {event.subject: (event, booking) for event, booking in _imported(told)}
    concerned = await _say(connection, newest) if newest else []
    if not concerned:
        return [], []
    await models.own_matching(connection)
    payments = await models.lock_payments_alone(connection, concerned)
    return payments, await _record(connection, payments)


async def weigh_again(connection: AsyncConnection, bookings: Iterable[str | None]) -> list[NewEvent]:
    """Look again at what history alone proves of these bookings, whose other payments changed and are saved.

    Returns the snapshots to publish; the caller holds the matching lock and commits. The proved payments are locked
    before the others are read, so of two callers the later sees what the earlier saved.
    """
    named = {booking for booking in bookings if booking}
    payments = await models.lock_payments_proved(connection, named) if named else {}
    return await _record(connection, payments) if payments else []


async def _record(connection: AsyncConnection, payments: Mapping[UUID, Payment]) -> list[NewEvent]:
    """Save locked payments as they are by evidence and Stripe; return the snapshots to publish."""
    evidence = await evidence_of(connection, payments)
    stripe = await _told_by_stripe(connection, payments)
    states = [*stripe.values(), *(payment.state for payment in payments.values() if payment.state)]
    keys = [*booking_keys(evidence), *(key for state in states for key in state.booking_keys)]
    bookings = await Bookings.load(connection, keys, also=[payment.booking_id for payment in payments.values()])
    changed, news = [], []
    async for id_, payment in in_turns(payments.items()):
        now, events = _recorded(payment, evidence.get(id_), stripe.get(id_), bookings)
        changed += [now] if now != payment else []
        news += events
    await models.save_payments(connection, changed)
    return news


def _imported(told: Iterable[tuple[Event, BookingSnapshot]]) -> list[tuple[Event, BookingSnapshot]]:
    imported = [(event, booking) for event, booking in told if booking.imported]
    return sorted(imported, key=lambda each: each[0].sequence)


async def _say(connection: AsyncConnection, newest: Mapping[str, tuple[Event, BookingSnapshot]]) -> Sequence[UUID]:
    said = {id_: _evidence(event, booking) async for id_, (event, booking) in in_turns(newest.items())}
    columns = {
        "bookings": list(said),
        "sequences": [newest[id_][0].sequence for id_ in said],
        "payments": [_payment_id(each) if each else None for each in said.values()],
        "said": [_EVIDENCE.dump_json(each).decode() if each else None for each in said.values()],
    }
    return (await connection.execute(_SAY, columns)).scalars().all()


def _evidence(event: Event, booking: BookingSnapshot) -> Evidence | None:
    """What one event says was paid; nothing when the booking was taken back."""
    said = booking.recorded_payment
    if said is None or booking.final_amount is None or event.type == "booking.deleted":
        return None
    return Evidence(
        booking_id=booking.booking_id,
        status=PaymentStatus(said.status),
        currency=booking.currency,
        amount=to_minor(booking.final_amount, booking.currency),
        refunded=said.refunded,
        method=said.method,
        paid_at=said.paid_at,
        created_at=said.paid_at,
        payment_intent=said.stripe_payment_intent_id,
        provenance=Provenance(reference=said.reference, evidence=said.evidence, inferred_fields=said.inferred_fields),
    )


def _payment_id(evidence: Evidence) -> UUID:
    if evidence.payment_intent:
        return payment_id_of(evidence.payment_intent)
    return uuid5(_NAMESPACE, evidence.booking_id)


async def evidence_of(connection: AsyncConnection, payments: Iterable[UUID]) -> dict[UUID, Evidence]:
    """Return what bookings prove of these payments, of those that any does."""
    rows = (await connection.execute(_EVIDENCE_OF, {"payments": list(payments)})).all()
    return {row.payment_id: _as_it_stands(_EVIDENCE.validate_json(row.said), canceled=row.canceled) for row in rows}


def _as_it_stands(evidence: Evidence, *, canceled: bool) -> Evidence:
    """What a person took back stays so, and so does what gave way, unless it is Stripe's own payment."""
    return replace(evidence, status=PaymentStatus.CANCELED) if canceled and not evidence.payment_intent else evidence


def booking_keys(evidence: Mapping[UUID, Evidence]) -> list[str]:
    """Return what may name the bookings of these payments besides what Stripe says."""
    return [key for one in evidence.values() for key in (one.booking_id, one.payment_intent) if key]


async def _told_by_stripe(connection: AsyncConnection, payments: Mapping[UUID, Payment]) -> dict[UUID, PaymentState]:
    """What Stripe's objects say of these payments, of those they say anything of."""
    known = [id_ for id_, payment in payments.items() if payment.state]
    kept: dict[UUID, list[Kept]] = {}
    for row in await models.objects_of(connection, known, waiting_for=()):
        if row.payment_id and row.kept:
            kept.setdefault(row.payment_id, []).append(row.kept)
    states = {id_: state_of(objects, payment_intent=_intent(payments[id_])) for id_, objects in kept.items()}
    return {id_: state for id_, state in states.items() if state}


def _intent(payment: Payment) -> str | None:
    return payment.state.payment_intent if payment.state else None


def _recorded(
    payment: Payment, evidence: Evidence | None, stripe: PaymentState | None, bookings: Bookings
) -> tuple[Payment, list[NewEvent]]:
    """The payment as it is by both; withdrawn evidence Stripe knows nothing of leaves a payment that was none.

    Stripe's facts keep the time they were told with: that history proves the same payment is no event of its own. It
    is migrated all the same, for good: its booking's row was history before, and nothing is to be written into it.
    """
    state = with_evidence(stripe, evidence) or _taken_back(payment)
    if state is None:
        return payment, []
    now = replace(
        payment,
        migrated=payment.migrated or evidence is not None,
        provenance=evidence.provenance if evidence else None,
    )
    time = (payment.changed_at if stripe else None) or state.paid_at or state.created_at
    return matched(now, state, bookings=bookings, cause=Cause(time), before=payment, waits=stripe is None)


def _taken_back(payment: Payment) -> PaymentState | None:
    if payment.state is None:
        return None
    return replace(payment.state, status=PaymentStatus.CANCELED, received=0, refunded=0)
