"""One payment's parts as a timeline: what was delivered, what changed by it, what people did."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from payments.schemas import TimelineItem, shown

Row = Mapping[str, Any]
_MONEY = ("amount", "received", "refunded", "disputed", "net")


def timeline(parts: Mapping[str, Sequence[Row]]) -> list[TimelineItem]:
    """Return everything in the order it happened; what has the same time stands in the order of its making."""
    items = [item for name, rows in parts.items() for row in rows for item in _ITEMS[name](row)]
    return sorted(items, key=lambda item: item.time)


def _delivery(row: Row) -> Iterator[TimelineItem]:
    names = ("event_id", "type", "object_id", "state", "source", "created")
    yield TimelineItem(time=row["received_at"], kind="delivery", facts={name: row[name] for name in names})


def _change(row: Row) -> Iterator[TimelineItem]:
    snapshot = row["snapshot"]
    money = {name: shown(snapshot.get(name), snapshot["currency"]) for name in _MONEY if name in snapshot}
    facts = {"type": row["type"], "sequence": row["sequence"], "status": snapshot["status"], **money}
    yield TimelineItem(time=row["time"], kind="change", facts={**facts, "booking_id": snapshot.get("booking_id")})


def _given_back(row: Row) -> Iterator[TimelineItem]:
    yield TimelineItem(time=row["event_created"], kind="refund", facts=_object(row))


def _dispute(row: Row) -> Iterator[TimelineItem]:
    yield TimelineItem(time=row["event_created"], kind="dispute", facts=_object(row))


def _object(row: Row) -> dict[str, Any]:
    facts = {name: row[name] for name in ("id", "stripe_charge_id", "currency", "status", "reason")}
    return {**facts, "amount": shown(row["amount"], row["currency"])}


def _request(row: Row) -> Iterator[TimelineItem]:
    names = ("id", "state", "reason", "requested_by", "stripe_refund_id", "error", "decided_at", "currency")
    facts = {**{name: row[name] for name in names}, "amount": shown(row["amount"], row["currency"])}
    yield TimelineItem(time=row["requested_at"], kind="refund_request", facts=facts)


def _match(row: Row) -> Iterator[TimelineItem]:
    facts = {name: row[name] for name in ("booking_id", "former", "decided_by")}
    yield TimelineItem(time=row["decided_at"], kind="match", facts=facts)


def _manual(row: Row) -> Iterator[TimelineItem]:
    facts = {name: row[name] for name in ("method", "currency", "paid_at", "booking", "reference", "recorded_by")}
    facts["amount"] = shown(row["amount"], row["currency"])
    yield TimelineItem(time=row["recorded_at"], kind="recorded", facts=facts)
    if row["canceled_at"] is not None:
        yield from _canceled(row)


def _canceled(row: Row) -> Iterator[TimelineItem]:
    who = {"canceled_by": row["canceled_by"], "reason": row["cancel_reason"]}
    yield TimelineItem(time=row["canceled_at"], kind="canceled", facts=who)


_ITEMS: Mapping[str, Callable[[Row], Iterator[TimelineItem]]] = {
    "deliveries": _delivery,
    "changes": _change,
    "refunds": _given_back,
    "disputes": _dispute,
    "refund_requests": _request,
    "matches": _match,
    "manual": _manual,
    "history": _canceled,
}
