"""A legacy table as years of several programs left it: seeded, in every layout, with every trap.

A booking is first made as facts (:class:`Fact`), then written in a layout's own words. What must come out of an import
is computed from the facts by :func:`due`, in plain Python that shares nothing with the product.
"""

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

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
]  # fmt: skip


@dataclass(frozen=True)
class LegacyLayout:
    """One generation of the table: its definition, and a booking in its words."""

    name: str
    table: str
    integer_ids: bool = False

    def known(self, fact: Fact) -> Fact:
        """The booking as far as this layout can tell of it."""
        match self.name:
            case "lower_case":
                amount = None if fact.amount is None else Decimal(round(fact.amount))
                return replace(fact, amount=amount, is_nan=False)
            case "snake_case":
                return replace(fact, paid_on=None, other_reference=None)
            case "flat_contact":
                fact = (
                    fact if _is_told(fact) else replace(fact, first_name=None, last_name=None, email=None, phone=None)
                )
                return replace(
                    fact, paid_on=None, other_reference=None, method=None, company=None, told_paid=False,
                    contact="valid",
                )  # fmt: skip
        return fact

    def row(self, fact: Fact) -> dict[str, Any]:
        """The booking's columns, as text PostgreSQL reads."""
        return getattr(self, f"_{self.name}")(self.known(fact))  # type: ignore[no-any-return]

    def _default(self, fact: Fact) -> dict[str, Any]:
        return {
            "id": fact.id,
            "bookingReference": fact.reference,
            "status": fact.status,
            "contactDetails": _contact(fact),
            "participants": [{"name": "Kim", "dateOfBirth": "1990-01-01", "medical": PLANTED}],
            "finalAmount": "NaN" if fact.is_nan else _money(fact.amount),
            "paymentDate": _iso(fact.paid_on),
            "paymentMethod": fact.method,
            "paymentReference": fact.intent or fact.other_reference,
            "createdAt": _iso(fact.created),
            "updatedAt": _iso(fact.created),
        }

    def _lower_case(self, fact: Fact) -> dict[str, Any]:
        contact = _contact(fact)
        return {
            "id": fact.id,
            "bookingreference": fact.reference,
            "status": fact.status,
            "contactdetails": None if fact.contact == "sql null" else json.dumps(contact),
            "notes": PLANTED,
            "finalamount": _money(fact.amount),
            "paymentdate": _local(fact.paid_on),
            "paymentmethod": fact.method,
            "paymentreference": fact.intent or fact.other_reference,
            "createdat": _local(fact.created),
            "updatedat": _local(fact.created),
        }

    def _snake_case(self, fact: Fact) -> dict[str, Any]:
        told = "refunded" if fact.status == "REFUNDED" else "paid" if fact.told_paid else "pending"
        return {
            "id": fact.id,
            "booking_reference": fact.reference,
            "status": "confirmed" if fact.status == "PAID" and fact.told_paid else fact.status.lower(),
            "contact_details": _contact(fact),
            "user_email": None,
            "medical_notes": PLANTED,
            "payment_amount": "NaN" if fact.is_nan else _money(fact.amount),
            "payment_status": told,
            "payment_method": fact.method and fact.method.lower(),
            "stripe_payment_intent_id": fact.intent,
            "created_at": _iso(fact.created),
            "updated_at": _iso(fact.created),
        }

    def _flat_contact(self, fact: Fact) -> dict[str, Any]:
        names = [name for name in (fact.first_name, fact.last_name) if name]
        return {
            "id": fact.id,
            "confirmationCode": fact.reference,
            "status": fact.status,
            "contactName": " ".join(names) or None,
            "contactEmail": fact.email,
            "contactPhone": fact.phone,
            "dietary": PLANTED,
            "totalPrice": "NaN" if fact.is_nan else _money(fact.amount),
            "paymentIntentId": fact.intent,
            "createdAt": _iso(fact.created),
            "updatedAt": _iso(fact.created),
        }


def _is_told(fact: Fact) -> bool:
    return fact.contact in {"valid", "encoded twice", "one name"}


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _local(time: datetime | None) -> str | None:
    return time.astimezone(LONDON).replace(tzinfo=None).isoformat() if time else None


def _contact(fact: Fact) -> Any:
    person = {
        "firstName": fact.first_name, "lastName": fact.last_name, "email": fact.email, "phone": fact.phone,
        "company": fact.company,
    }  # fmt: skip
    kinds = {
        "sql null": None,
        "json null": _JSON_NULL,
        "empty": {},
        "array": [person],
        "text": "see file",
        "encoded twice": json.dumps(person),
        "one name": {"name": f"{fact.first_name} {fact.last_name}", "email": fact.email, "phone": fact.phone},
    }
    return kinds.get(fact.contact, person)


_JSON_NULL = None  # an INSERT from JSON makes no difference; `fill` does

LAYOUTS = {
    "default": LegacyLayout(
        "default",
        """
        CREATE TABLE bookings (
            id uuid PRIMARY KEY, "bookingReference" text, status text, "contactDetails" jsonb, participants jsonb,
            "finalAmount" numeric(10, 2), "paymentDate" timestamptz, "paymentMethod" text, "paymentReference" text,
            "createdAt" timestamptz, "updatedAt" timestamptz
        )
        """,
    ),
    "lower_case": LegacyLayout(
        "lower_case",
        """
        CREATE TABLE bookings (
            id uuid PRIMARY KEY, bookingReference text, status text, contactDetails text, notes text,
            finalAmount integer, paymentDate timestamp, paymentMethod text, paymentReference text,
            createdAt timestamp, updatedAt timestamp
        )
        """,
    ),
    "snake_case": LegacyLayout(
        "snake_case",
        """
        CREATE TABLE bookings (
            id integer PRIMARY KEY, booking_reference varchar(20), status text, contact_details jsonb,
            user_email text, medical_notes text, payment_amount numeric(10, 2), payment_status text,
            payment_method text, stripe_payment_intent_id text, created_at timestamptz, updated_at timestamptz
        );
        CREATE FUNCTION legacy_touch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' THEN NEW.updated_at := now(); END IF;
            NEW.user_email := lower(NEW.contact_details ->> 'email');
            RETURN NEW;
        END $$;
        CREATE TRIGGER legacy_touch BEFORE INSERT OR UPDATE ON bookings
        FOR EACH ROW EXECUTE FUNCTION legacy_touch();
        """,
        integer_ids=True,
    ),
    "flat_contact": LegacyLayout(
        "flat_contact",
        """
        CREATE TABLE bookings (
            id integer PRIMARY KEY, "confirmationCode" text, status text, "contactName" text, "contactEmail" text,
            "contactPhone" text, dietary text, "totalPrice" numeric(10, 2), "paymentIntentId" text,
            "createdAt" timestamptz, "updatedAt" timestamptz
        )
        """,
        integer_ids=True,
    ),
}

_FILL = """
    INSERT INTO bookings ({columns})
    SELECT {columns} FROM json_populate_recordset(CAST(NULL AS bookings), CAST($1 AS json))
"""
_NULL_CONTACTS = """
    UPDATE bookings SET {column} = 'null' WHERE CAST(id AS text) = ANY($1)
"""


async def create_table(url: str, layout: LegacyLayout) -> None:
    """Create the table, empty, as the legacy application left it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(layout.table)
    finally:
        await connection.close()


async def fill(url: str, layout: LegacyLayout, bookings: Sequence[Fact]) -> None:
    """Write bookings into the table, as the legacy application did before anybody watched."""
    connection = await asyncpg.connect(url)
    try:
        await insert(connection, layout, bookings)
    finally:
        await connection.close()


async def insert(connection: "asyncpg.Connection[Any]", layout: LegacyLayout, bookings: Sequence[Fact]) -> None:
    """Write bookings on an open connection."""
    for page in _pages(bookings, 5_000):
        rows = [layout.row(fact) for fact in page]
        columns = ", ".join(f'"{name}"' for name in rows[0])
        await connection.execute(_FILL.format(columns=columns), json.dumps(rows))
    nulls = [str(fact.id) for fact in bookings if fact.contact == "json null"]
    if column := {"default": '"contactDetails"', "lower_case": "contactdetails"}.get(layout.name):
        await connection.execute(_NULL_CONTACTS.format(column=column), nulls)
    await connection.execute("ANALYZE bookings")


def _pages(bookings: Sequence[Fact], size: int) -> Iterator[Sequence[Fact]]:
    for start in range(0, len(bookings), size):
        yield bookings[start : start + size]


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
            paid = fact.paid_on or fact.created
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
    is_told_unpaid = layout.name == "snake_case" and not fact.told_paid and fact.status != "REFUNDED"
    if fact.intent and not is_owner:
        return "review"
    if fact.intent and not is_told_unpaid:
        return "stripe"
    is_dated = fact.paid_on is not None or (
        layout.name == "snake_case" and (fact.told_paid or fact.status == "REFUNDED")
    )
    if (fact.method or "").upper() == "INVOICE" and not is_dated and fact.status in {"PENDING", "CONFIRMED"}:
        return "invoice"
    if is_dated or fact.other_reference:
        return "recorded"
    if fact.status.upper() in {"PAID", "COMPLETED", "ATTENDED", "REFUNDED"}:
        return "status_only"
    return "none"
