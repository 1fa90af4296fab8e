"""The rows a group of events touches, locked, and what the events make of them. Written back in one go."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from payments import models
from payments.domain import fields
from payments.domain.evidence import Evidence, with_evidence
from payments.domain.objects import Charge, CheckoutSession, Dispute, PaymentIntent, Refund, StripeObject
from payments.domain.ordering import Content
from payments.domain.payment import PaymentState, PaymentStatus, state_of
from payments.domain.versions import Doubt, Kept, doubt
from payments.models import ObjectRow, Payment
from payments.service import fetch_requests
from payments.service.announce import Bookings, Cause, matched
from payments.service.bodies import parse
from payments.service.fetch_requests import FetchRequest
from payments.service.payment_ids import payment_id_of
from payments.service.record_history import booking_keys, evidence_of, weigh_again
from payments.service.shown import Shown, shown_in
from shared.event_log import NewEvent

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Ledger:
    """Objects and payments under lock, what is known of bookings, and what came of the events so far.

    ``contents`` is by object and event: what tells versions of one second apart.
    """

    objects: dict[str, ObjectRow]
    payments: dict[UUID, Payment]
    bookings: Bookings
    contents: dict[str, dict[str, Content]]
    evidence: Mapping[UUID, Evidence] = field(default_factory=dict)
    news: list[NewEvent] = field(default_factory=list)
    fetches: list[FetchRequest] = field(default_factory=list)
    _homes: dict[UUID | str | None, set[str]] = field(default_factory=lambda: defaultdict(set))
    _changed_objects: set[str] = field(default_factory=set)
    _changed_payments: set[UUID] = field(default_factory=set)
    _bookings: set[str | None] = field(default_factory=set)

    def __post_init__(self) -> None:
        for row in self.objects.values():
            self._homes[row.home].add(row.id)

    @classmethod
    async def load(cls, connection: AsyncConnection, shown: Sequence[Shown]) -> "Ledger":
        """Lock everything these objects may touch, and read it, in the order ``models`` prescribes."""
        items = [each.version.object for each in shown]
        objects, new = await models.lock_objects(connection, _names(items))
        payments, unheard_of = await models.lock_payments(connection, _payments(items, objects.values()))
        contents = await _contents(connection, shown, objects)
        charges = [item.id for item in items if isinstance(item, Charge) and item.id not in new]
        for row in await models.objects_of(connection, payments.keys() - unheard_of, waiting_for=charges):
            objects.setdefault(row.id, row)
        migrated = [id_ for id_, payment in payments.items() if payment.migrated]
        evidence = await evidence_of(connection, migrated) if migrated else {}
        by_hand = [payment.booking_id for payment in payments.values() if payment.matched_by_hand]
        keys = [*_keys(items, objects.values()), *booking_keys(evidence)]
        bookings = await Bookings.load(connection, keys, also=by_hand)
        return cls(objects, payments, bookings, contents, evidence)

    def apply(self, shown: Sequence[Shown], cause: Cause) -> None:
        """Take what one event showed into account; news are the snapshots that changed by it."""
        concerned = [payment_id for each in shown for payment_id in self._take(each)]
        charges = {each.version.object.id for each in shown}
        for payment_id in dict.fromkeys(concerned):
            self._recompute(payment_id, cause, charges)

    async def save(self, connection: AsyncConnection) -> None:
        """Write back what changed; the caller appends ``news`` and commits."""
        changed = [self.payments[id_] for id_ in sorted(self._changed_payments)]
        await models.save_objects(connection, [self.objects[id_] for id_ in sorted(self._changed_objects)])
        await models.save_payments(connection, [payment for payment in changed if payment.state])
        self.news += await weigh_again(connection, self._bookings)
        if empty := [id_ for id_, payment in self.payments.items() if not payment.sequence and not self._homes[id_]]:
            await models.forget_payments(connection, empty)
        await fetch_requests.ask(connection, self.fetches)

    def _take(self, shown: Shown) -> list[UUID]:
        """Keep one more version of an object; return the payments concerned."""
        version = shown.version
        row = self.objects[version.object.id]
        kept = row.kept.with_version(version, self.contents[row.id]) if row.kept else Kept.first(version)
        if reason := doubt(row.kept, version, kept):
            self._ask_for(version.object, reason)
        return self._attach(row, kept)

    def _ask_for(self, item: StripeObject, reason: Doubt) -> None:
        log.warning("stripe_object_in_doubt", object_id=item.id, reason=reason)
        self.fetches.append(FetchRequest(item.id, item.kind, reason))

    def _put(self, row: ObjectRow) -> None:
        self._homes[self.objects[row.id].home].discard(row.id)
        self._homes[row.home].add(row.id)
        self.objects[row.id] = row
        self._changed_objects.add(row.id)

    def _attach(self, row: ObjectRow, kept: Kept) -> list[UUID]:
        """Give the object its payment, take along what depends on it; return the payments concerned."""
        item = kept.object
        payment_id = self._root(item)
        waits_for = item.charge if payment_id is None and isinstance(item, Refund | Dispute) else None
        self._put(ObjectRow(row.id, payment_id, waits_for, kept))
        if payment_id is None:
            return []
        for other in self._dependents(row, payment_id):
            self._put(ObjectRow(other.id, payment_id, None, other.kept))
        return list(dict.fromkeys(id_ for id_ in (row.payment_id, payment_id) if id_))

    def _dependents(self, row: ObjectRow, payment_id: UUID) -> list[ObjectRow]:
        """What waited for this object, and what learned another payment from it before."""
        former = self._homes[row.payment_id] if row.payment_id not in (None, payment_id) else set()
        return [self.objects[id_] for id_ in (*self._homes[row.id], *former) if _depends(self.objects[id_], row.id)]

    def _root(self, item: StripeObject) -> UUID | None:
        if own := _own_root(item):
            return payment_id_of(own)
        charge = self.objects.get(item.charge or "") if isinstance(item, Refund | Dispute) else None
        return charge.payment_id if charge else None

    def _recompute(self, payment_id: UUID, cause: Cause, shown: Container[str]) -> None:
        payment = self.payments[payment_id]
        kept = [each for each in (self.objects[id_].kept for id_ in self._homes[payment_id]) if each]
        intent = next((name for name in _intents(kept) if payment_id_of(name) == payment_id), None)
        proved = with_evidence(state_of(kept, payment_intent=intent), self.evidence.get(payment_id))
        state = proved or _nothing_left(payment)
        if state is None:
            self.payments[payment_id] = replace(payment, state=None)
            return
        unexplained = [charge for charge in state.unexplained if charge in shown]
        self.fetches += [FetchRequest(charge, "refunds", "unexplained_refund") for charge in unexplained]
        self.payments[payment_id], news = matched(payment, state, bookings=self.bookings, cause=cause)
        self._changed_payments.add(payment_id)
        self._bookings |= {payment.booking_id, self.payments[payment_id].booking_id}
        self.news += news


async def _contents(
    connection: AsyncConnection, shown: Sequence[Shown], rows: Mapping[str, ObjectRow]
) -> dict[str, dict[str, Content]]:
    """Return what came and, where that is a tie with something stored, what the stored events said."""
    contents: dict[str, dict[str, Content]] = defaultdict(dict)
    for each in shown:
        contents[each.version.object.id][each.version.event_id] = each.content
    kept = [(rows[each.version.object.id].kept, each.version) for each in shown]
    if tied := {id_ for known, version in kept if known for id_ in known.tied_with(version)}:
        for id_, event_type, body in await models.event_bodies(connection, tied):
            for each in shown_in(id_, event_type, fields.inner(parse(body))):
                contents[each.version.object.id].setdefault(id_, each.content)
    return contents


def _nothing_left(payment: Payment) -> PaymentState | None:
    """Its only object turned out to belong to another payment; who was told of it hears that it is none."""
    if payment.state is None or not payment.sequence:
        return None
    return replace(payment.state, status=PaymentStatus.CANCELED, received=0, refunded=0, disputed=0, open_disputes=0)


def _depends(row: ObjectRow, charge: str) -> bool:
    item = row.kept.object if row.kept else None
    return isinstance(item, Refund | Dispute) and item.charge == charge


def _own_root(item: StripeObject) -> str | None:
    """The object at the root of its payment, as far as it says so itself."""
    match item:
        case PaymentIntent():
            return item.id
        case Charge():
            return item.payment_intent or item.id
        case CheckoutSession():
            return item.payment_intent or (item.id if item.takes_payment else None)
        case Refund() | Dispute():
            return item.payment_intent


def _names(items: Iterable[StripeObject]) -> Iterator[str]:
    """The objects to lock: each itself, and the charge of a refund or dispute."""
    for item in items:
        yield item.id
        if isinstance(item, Refund | Dispute) and item.charge:
            yield item.charge


def _payments(items: Iterable[StripeObject], rows: Iterable[ObjectRow]) -> set[UUID]:
    """The payments to lock: those the objects belong to, by themselves or by what is stored."""
    known = {row.id: row.payment_id for row in rows if row.payment_id}
    roots = {root for item in items if (root := _own_root(item)) and not (root == item.id and root in known)}
    return {*known.values(), *map(payment_id_of, roots)}


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
