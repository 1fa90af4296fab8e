"""What several programs left in a legacy table over the years, as facts: seeded, with every trap.

``legacy_generations`` writes them in a layout's own words; ``legacy_due`` computes what must come out of an import.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
PLANTED = "peanut allergy 7f3a"  # stands where nobody may copy it from

_FIRST = ["Ann", "Ben", "Chloé", "Dora", "Eve", "Finn", "Gül", "Hugo", "Iris", "Jo"]
_LAST = ["Lee", "Okafor", "Martin", "Novak", "Reed", "O'Brien", "Straße", "Ng", "Fox", "Ivanova"]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One booking, in no layout's words. ``contact`` is the kind of contact; ``status`` in upper case."""

    number: int
    id: Any
    reference: str | None
    status: str
    contact: str = "valid"
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    company: str | None = None
    amount: Decimal | None
    is_nan: bool = False
    paid_on: datetime | None = None
    method: str | None = None
    other_reference: str | None = None
    intent: str | None = None
    told_paid: bool = False
    created: datetime | None

    @property
    def is_dated(self) -> bool:
        """Whether it tells a day on which somebody can have paid."""
        return self.paid_on is not None and 1900 < self.paid_on.year < 2050

    @property
    def mailbox(self) -> str | None:
        """Who booked, as one address; nobody where the contact does not tell."""
        if self.contact not in {"valid", "encoded twice", "one name"} or not self.email or "@" not in self.email:
            return None
        local, _, domain = unicodedata.normalize("NFC", self.email.strip().lower()).rpartition("@")
        return f"{local}@{'xn--bcher-kva.example' if domain == 'bücher.example' else domain}"


def facts(count: int, *, seed: int, integer_ids: bool = False) -> list[Fact]:
    """Return bookings: ordinary ones, and every trap at least once when there is room."""
    random = Random(seed)
    made = []
    for number in range(count):
        fact = _ordinary(number, random, integer_ids=integer_ids)
        trap = TRAPS[number] if number < len(TRAPS) else random.choice([*TRAPS, *[None] * 3 * len(TRAPS)])
        made.append(trap(fact, random) if trap else fact)
    random.shuffle(made)
    return made


def _ordinary(number: int, random: Random, *, integer_ids: bool) -> Fact:
    person = random.randrange(max(3, number // 3 + 3))
    first, last = _FIRST[person % 10], _LAST[person // 10 % 10]
    created = datetime(2022, 1, 1, tzinfo=UTC) + timedelta(minutes=random.randrange(3 * 365 * 24 * 60))
    status = random.choice(["PENDING", "CONFIRMED", "PAID", "ATTENDED", "COMPLETED", "CANCELLED", "NO_SHOW"])
    fact = Fact(
        number=number,
        id=number + 1 if integer_ids else str(UUID(int=random.getrandbits(128), version=4)),
        reference=f"BK{seed_word(random, 9)}",
        status=status,
        first_name=first,
        last_name=last,
        email=f"person{person}@example.com",
        phone=f"07700 {person:06d}",
        amount=Decimal(random.choice([4500, 6750, 12000, 25050, 9999])) / 100,
        created=created,
    )
    if status in {"PAID", "ATTENDED", "COMPLETED"} and random.random() < 0.7:
        how = random.choice(["CARD", "BANK_TRANSFER"])
        paid = created + timedelta(minutes=random.randrange(1, 40_000))
        intent = f"pi_{seed_word(random, 16)}" if how == "CARD" else None
        return replace(fact, paid_on=paid, method=how, intent=intent, told_paid=True)
    return fact


def seed_word(random: Random, length: int) -> str:
    return "".join(random.choice("ABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(length))


def _unpaid(fact: Fact, **changes: Any) -> Fact:
    return replace(fact, paid_on=None, method=None, intent=None, other_reference=None, told_paid=False, **changes)


# Each makes one thing of an ordinary booking that the customer's document would get wrong.
TRAPS: Sequence[Any] = [
    lambda fact, _: replace(fact, email=f"  {(fact.email or '').upper()} "),
    lambda fact, _: replace(fact, email="Zoë@example.com"),
    lambda fact, _: replace(fact, email=unicodedata.normalize("NFD", "zoë@example.com")),
    lambda fact, _: replace(fact, email="buch@BÜCHER.example"),
    lambda fact, _: replace(fact, email="buch@xn--bcher-kva.example"),
    lambda fact, _: replace(fact, email="j.o.hn+tag@gmail.com"),
    lambda fact, _: replace(fact, email="john@gmail.com"),
    lambda fact, _: replace(fact, email="office@example.com", first_name="Olga", last_name="Ofis"),
    lambda fact, _: replace(fact, email="office@example.com", first_name="Peter", last_name="Pult", phone=None),
    lambda fact, _: replace(fact, contact="sql null"),
    lambda fact, _: replace(fact, contact="json null"),
    lambda fact, _: replace(fact, contact="empty"),
    lambda fact, _: replace(fact, contact="array"),
    lambda fact, _: replace(fact, contact="text"),
    lambda fact, _: replace(fact, contact="encoded twice"),
    lambda fact, _: replace(fact, contact="one name"),
    lambda fact, _: replace(fact, email=""),
    lambda fact, _: replace(fact, email="   "),
    lambda fact, _: replace(fact, email="nobody.example.com"),
    lambda fact, _: replace(fact, email=None),
    lambda fact, _: replace(fact, company="Lee & Søn; \"Ltd\""),
    lambda fact, _: _unpaid(fact, amount=Decimal(0), status="PAID"),
    lambda fact, _: _unpaid(fact, amount=None, status="PAID"),
    lambda fact, _: _unpaid(fact, amount=Decimal("-5.00"), status="PAID"),
    lambda fact, _: _unpaid(fact, amount=None, is_nan=True, status="PAID"),
    lambda fact, _: _unpaid(fact, status="on hold"),
    lambda fact, _: _unpaid(fact, status="paid"),
    lambda fact, _: _unpaid(fact, status="PAID"),
    lambda fact, _: _unpaid(fact, status="COMPLETED"),
    lambda fact, _: _unpaid(fact, status="ATTENDED"),
    lambda fact, _: _unpaid(fact, status="ATTENDED", created=datetime(2024, 3, 31, 23, 30, tzinfo=UTC)),
    lambda fact, _: _unpaid(fact, status="PAID", created=datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),
    lambda fact, _: replace(_unpaid(fact, status="CONFIRMED"), method="INVOICE"),
    lambda fact, _: replace(_unpaid(fact, status="PENDING"), method="INVOICE"),
    lambda fact, _: replace(_unpaid(fact, status="COMPLETED"), method="INVOICE"),
    lambda fact, random: replace(
        _unpaid(fact, status="CONFIRMED"), method="CARD", intent=f"pi_{seed_word(random, 16)}", told_paid=True,
        paid_on=datetime(2024, 5, 31, 23, 30, tzinfo=UTC),
    ),
    lambda fact, random: replace(
        _unpaid(fact, status="CANCELLED"), method="CARD", intent=f"pi_{seed_word(random, 16)}", told_paid=True,
        paid_on=datetime(2024, 6, 1, 9, 0, tzinfo=UTC),
    ),
    lambda fact, _: _unpaid(fact, status="CANCELLED"),
    lambda fact, _: replace(
        _unpaid(fact, status="CONFIRMED"), paid_on=datetime(2024, 2, 29, 12, tzinfo=UTC), told_paid=True
    ),
    lambda fact, _: replace(_unpaid(fact, status="PAID"), other_reference="BACS 4711", told_paid=True),
    lambda fact, random: replace(
        _unpaid(fact, status="REFUNDED"), intent=f"pi_{seed_word(random, 16)}", told_paid=True, method="CARD"
    ),
    lambda fact, _: _unpaid(fact, status="REFUNDED"),
    lambda fact, _: replace(_unpaid(fact, status="PAID"), intent="pi_SHAREDBYTWO", told_paid=True, method="CARD"),
    lambda fact, _: replace(_unpaid(fact, status="PAID"), intent="pi_SHAREDBYTWO", told_paid=True, method="CARD"),
    lambda fact, _: replace(fact, reference="TWICE"),
    lambda fact, _: replace(fact, reference="TWICE"),
    lambda fact, _: replace(fact, reference=None),
    lambda fact, _: replace(_unpaid(fact, status="PENDING"), created=None),
    lambda fact, _: replace(fact, created=datetime(2091, 1, 1, tzinfo=UTC)),
    lambda fact, _: replace(fact, company="x" * 3000),
    lambda fact, random: replace(
        _unpaid(fact, status="PAYMENT_FAILED"), method="CARD", intent=f"pi_{seed_word(random, 16)}"
    ),
    lambda fact, random: replace(_unpaid(fact, status="PENDING"), method="CARD", intent=f"pi_{seed_word(random, 16)}"),
    lambda fact, _: replace(_unpaid(fact, status="CONFIRMED"), paid_on=datetime(2091, 1, 1, tzinfo=UTC)),
    lambda fact, _: replace(_unpaid(fact, status="PAID"), paid_on=datetime(1, 1, 2, tzinfo=UTC)),
    lambda fact, _: _unpaid(fact, status=" Paid "),
    lambda fact, _: replace(fact, contact="blank text"),
    lambda fact, _: replace(fact, contact="number"),
]  # fmt: skip
