"""Payments' ledger without a database: events applied to rows that exist nowhere."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from payments.domain.ordering import Content
from payments.models import ObjectRow, Payment
from payments.service.announce import Bookings, Cause
from payments.service.ledger import Ledger
from payments.service.payment_ids import payment_id_of
from payments.service.shown import Shown, shown_in
from support.stripe_payloads import Json

BOOKINGS = Bookings({"b1": "b1"}, {"b1": "u1"})


def shown_by(event: Json) -> list[Shown]:
    """Return what an event shows."""
    return shown_in(event["id"], event["type"], event)


def ledger_after(events: Sequence[Json], *, bookings: Bookings = BOOKINGS) -> Ledger:
    """Return a ledger that took these events, in this order."""
    shown = [shown_by(event) for event in events]
    ledger = _empty([each for group in shown for each in group], bookings)
    for group in shown:
        time = datetime.fromtimestamp(group[0].version.seen, UTC)
        ledger.apply(group, Cause(time))
    return ledger


def payments_after(events: Sequence[Json], *, bookings: Bookings = BOOKINGS) -> list[Payment]:
    """Return the payments these events make, without what counts the news on the way."""
    ledger = ledger_after(events, bookings=bookings)
    return [payment for payment in ledger.payments.values() if payment.state]


def _empty(shown: Iterable[Shown], bookings: Bookings) -> Ledger:
    contents: dict[str, dict[str, Content]] = defaultdict(dict)
    names: set[str] = set()
    for each in shown:
        item = each.version.object
        contents[item.id].setdefault(each.version.event_id, each.content)
        named = (item.id, getattr(item, "charge", None), getattr(item, "payment_intent", None))
        names |= {name for name in named if name}
    payments = {payment_id_of(name): Payment(payment_id_of(name)) for name in names}
    return Ledger({name: ObjectRow(name) for name in names}, payments, bookings, contents)
