"""A legacy table in each of its layouts, and bookings written into it in that layout's own words."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from support.legacy_history import LONDON, PLANTED, Fact


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
        "blank text": "",
        "number": {**person, "email": 4711},
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
