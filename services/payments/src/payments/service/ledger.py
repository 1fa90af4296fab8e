"""The rows a group of events touches, locked, and what the events make of them. Written back in one go."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection

from payments import models
from payments.domain.objects import Charge, PaymentIntent, Refund, StripeObject
from payments.domain.payment import PaymentStatus, state_of
from payments.domain.versions import Kept, Version
from payments.models import ObjectRow, Payment
from payments.service.announce import Cause, booking_of, change
from shared.event_log import NewEvent

# A payment's id follows from the Stripe object at its root, so two replicas that meet it first agree.
_NAMESPACE = UUID("b4f5f0a6-9d0c-5a51-8d7e-6a0f3f3f8c11")


@lru_cache(maxsize=10_000)
def payment_id_of(root: str) -> UUID:
    """Return the id of the payment rooted in a PaymentIntent, or in a charge that has none."""
    return uuid5(_NAMESPACE, root)


@dataclass(slots=True)
class Ledger:
    """Objects and payments under lock, bookings by key, and the events that came of it so far."""

    objects: dict[str, ObjectRow]
    payments: dict[UUID, Payment]
    bookings: dict[str, str]
    news: list[NewEvent] = field(default_factory=list)
    _homes: dict[UUID | str | None, set[str]] = field(default_factory=lambda: defaultdict(set))
    _changed_objects: set[str] = field(default_factory=set)
    _changed_payments: set[UUID] = field(default_factory=set)

    def __post_init__(self) -> None:
        for row in self.objects.values():
            self._homes[row.home].add(row.id)

    @classmethod
    async def load(cls, connection: AsyncConnection, items: Sequence[StripeObject]) -> "Ledger":
        """Lock everything these objects may touch, and read it, in the order ``models`` prescribes."""
        await models.share_matching(connection)
        objects = await models.lock_objects(connection, _names(items))
        payments = await models.lock_payments(connection, _payments(items, objects.values()))
        charges = [item.id for item in items if isinstance(item, Charge)]
        for row in await models.objects_of(connection, payments, waiting_for=charges):
            objects.setdefault(row.id, row)
        bookings = await models.bookings_by_key(connection, _keys(items, objects.values()))
        return cls(objects, payments, bookings)

    def apply(self, version: Version, cause: Cause) -> None:
        """Take one more version of an object into account; news are the snapshots that changed by it."""
        row = self.objects[version.object.id]
        kept = row.kept.with_version(version) if row.kept else Kept.first(version)
        self._put(replace(row, kept=kept))
        for payment_id in self._attach(self.objects[row.id], kept.object):
            self._recompute(payment_id, cause)

    async def save(self, connection: AsyncConnection) -> None:
        """Write back what changed; the caller appends ``news`` and commits."""
        await models.save_objects(connection, [self.objects[id_] for id_ in sorted(self._changed_objects)])
        await models.save_payments(connection, [self.payments[id_] for id_ in sorted(self._changed_payments)])

    def _put(self, row: ObjectRow) -> None:
        self._homes[self.objects[row.id].home].discard(row.id)
        self._homes[row.home].add(row.id)
        self.objects[row.id] = row
        self._changed_objects.add(row.id)

    def _attach(self, row: ObjectRow, item: StripeObject) -> list[UUID]:
        """Give the object its payment, take along what depends on it; return the payments concerned."""
        payment_id = self._root(item)
        waits_for = item.charge if payment_id is None and isinstance(item, Refund) else None
        self._put(replace(row, payment_id=payment_id, waits_for=waits_for))
        if payment_id is None:
            return []
        for other in self._dependents(row, payment_id):
            self._put(replace(other, payment_id=payment_id, waits_for=None))
        return list(dict.fromkeys(id_ for id_ in (row.payment_id, payment_id) if id_))

    def _dependents(self, row: ObjectRow, payment_id: UUID) -> list[ObjectRow]:
        """Refunds that waited for this object, and those that learned another payment from it before."""
        former = self._homes[row.payment_id] if row.payment_id not in (None, payment_id) else set()
        return [
            self.objects[id_] for id_ in (*self._homes[row.id], *former) if _is_refund_of(self.objects[id_], row.id)
        ]

    def _root(self, item: StripeObject) -> UUID | None:
        match item:
            case PaymentIntent():
                return payment_id_of(item.id)
            case Charge():
                return payment_id_of(item.payment_intent or item.id)
            case Refund(payment_intent=str(intent)):
                return payment_id_of(intent)
        charge = self.objects.get(item.charge or "")
        return charge.payment_id if charge else None

    def _recompute(self, payment_id: UUID, cause: Cause) -> None:
        payment = self.payments[payment_id]
        kept = [each for each in (self.objects[id_].kept for id_ in self._homes[payment_id]) if each]
        intent = next((name for name in _intents(kept) if payment_id_of(name) == payment_id), None)
        state = state_of(kept, payment_intent=intent)
        if state is None:  # its only charge turned out to belong to another payment: nothing is left of it
            if payment.state is None:
                return
            state = replace(payment.state, status=PaymentStatus.CANCELED, received=0, refunded=0)
        booking_id = payment.booking_id if payment.matched_by_hand else booking_of(state, self.bookings)
        self.payments[payment_id], news = change(payment, state, booking_id=booking_id, cause=cause)
        self._changed_payments.add(payment_id)
        self.news += news


def _is_refund_of(row: ObjectRow, charge: str) -> bool:
    return row.kept is not None and isinstance(row.kept.object, Refund) and row.kept.object.charge == charge


def _names(items: Iterable[StripeObject]) -> Iterator[str]:
    """The objects to lock: each itself, and a refund's charge."""
    for item in items:
        yield item.id
        if isinstance(item, Refund) and item.charge:
            yield item.charge


def _payments(items: Iterable[StripeObject], rows: Iterable[ObjectRow]) -> set[UUID]:
    """The payments to lock: those the objects belong to, by themselves or by what is stored."""
    known = {row.id: row.payment_id for row in rows if row.payment_id}
    ids = set(known.values())
    for item in items:
        match item:
            case PaymentIntent(id=root) | Charge(payment_intent=str(root)) | Refund(payment_intent=str(root)):
                ids.add(payment_id_of(root))
            case Charge(id=root) if root not in known:
                ids.add(payment_id_of(root))
    return ids


def _keys(items: Iterable[StripeObject], rows: Iterable[ObjectRow]) -> Iterator[str]:
    """Everything that may name a booking, of what comes and what is there."""
    for item in (*items, *(row.kept.object for row in rows if row.kept)):
        yield from getattr(item, "booking_keys", ())
        yield from _intent_of(item)


def _intents(kept: Iterable[Kept]) -> Iterator[str]:
    for each in kept:
        yield from _intent_of(each.object)


def _intent_of(item: StripeObject) -> list[str]:
    intent = item.id if isinstance(item, PaymentIntent) else item.payment_intent
    return [intent] if intent else []
