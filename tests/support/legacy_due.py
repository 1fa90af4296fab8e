"""What must come out of an import: computed from the facts, in plain Python that shares nothing with the product."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from support.legacy_generations import LegacyLayout
from support.legacy_history import LONDON, Fact


@dataclass
class Due:
    """What must come out. ``payments``: booking → class, pence received and refunded; ``money``: of class and month."""

    total: int = 0
    users: int = 0
    placeholders: int = 0
    set_aside: set[str] = field(default_factory=set)
    classes: Counter[str] = field(default_factory=Counter)
    payments: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    money: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    spent: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    bookings: Counter[str] = field(default_factory=Counter)
    mailboxes: dict[str, str] = field(default_factory=dict)


def due(layout: LegacyLayout, bookings: Sequence[Fact]) -> Due:
    """Compute what an import of these bookings must come to."""
    result = Due(total=len(bookings))
    known = [layout.known(fact) for fact in bookings]
    first_with: dict[str, str] = {}
    for fact in known:
        if fact.intent:
            first_with[fact.intent] = min(first_with.get(fact.intent, str(fact.id)), str(fact.id))
    for fact in known:
        id_ = str(fact.id)
        is_far_future = fact.created is not None and fact.created.year > 2050
        is_long = len(fact.company or "") > 500 and fact.contact in {"valid", "encoded twice"}
        if is_far_future or is_long:
            result.set_aside.add(id_)
            continue
        who = fact.mailbox or f"booking {id_}"
        result.mailboxes[id_] = who
        result.placeholders += fact.mailbox is None
        result.bookings[who] += 1
        result.spent[who] += fact.amount or 0
        class_ = _class(layout, fact, is_owner=first_with.get(fact.intent or "", id_) == id_)
        result.classes[class_] += 1
        if class_ in {"stripe", "recorded", "status_only", "invoice"}:
            pence = 0 if class_ == "invoice" else int((fact.amount or 0) * 100)
            paid = fact.paid_on if fact.is_dated else fact.created
            assert paid is not None
            result.payments[id_] = (class_, pence, pence if fact.status == "REFUNDED" else 0)
            result.money[class_, paid.astimezone(LONDON).strftime("%Y-%m")] += int((fact.amount or 0) * 100)
    result.users = len(set(result.mailboxes.values()))
    return result


def _class(layout: LegacyLayout, fact: Fact, *, is_owner: bool) -> str:
    if fact.amount is None or fact.amount < 0:
        return "review"
    if fact.amount == 0:
        return "free"
    status = fact.status.strip().upper()
    is_told_unpaid = status == "PAYMENT_FAILED" or (
        layout.name == "snake_case" and not fact.told_paid and status != "REFUNDED"
    )
    if fact.intent and not is_owner:
        return "review"
    if fact.intent and not is_told_unpaid:
        return "stripe"
    is_dated = fact.is_dated or (layout.name == "snake_case" and (fact.told_paid or status == "REFUNDED"))
    if (fact.method or "").upper() == "INVOICE" and not is_dated and status in {"PENDING", "CONFIRMED"}:
        return "invoice"
    if is_dated or fact.other_reference:
        return "recorded"
    if status in {"PAID", "COMPLETED", "ATTENDED", "REFUNDED"}:
        return "status_only"
    return "none"
