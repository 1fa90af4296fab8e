"""The legacy table in each of its layouts, and one booking as each of them writes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.domain import DEFAULT_LAYOUT, Layout
from bookings_gateway.install import install
from bookings_gateway.layouts import PRESETS

PERSON = {"firstName": "Ann", "lastName": "Lee", "email": "Ann@Example.com", "phone": "0123"}
CREATED_AT = "2025-07-01 10:30:00+01"


@dataclass(frozen=True)
class LegacyLayout:
    """``booking`` are the columns of Ann's pending booking of 68 pounds, made at 10:30 in London's summer."""

    layout: Layout
    table: str
    booking: Mapping[str, Any]
    triggers: list[str] = field(default_factory=list)


LOWER_CASE = """
    CREATE TABLE bookings (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), bookingreference text UNIQUE, status text DEFAULT 'PENDING',
        contactdetails text, finalamount integer, paymentdate timestamp, paymentmethod text, paymentreference text,
        createdat timestamp DEFAULT now(), updatedat timestamp DEFAULT now(), notes text
    )
"""
SNAKE_CASE = """
    CREATE TABLE bookings (
        id serial PRIMARY KEY, booking_reference varchar(20) UNIQUE, user_email varchar(255), contact_details jsonb,
        status varchar(20) DEFAULT 'pending', payment_amount numeric(10,2),
        payment_status varchar(20) DEFAULT 'pending', payment_method varchar(30),
        stripe_payment_intent_id text, created_at timestamptz DEFAULT now(),
        updated_at timestamptz DEFAULT now(),
        notes text
    )
"""
SNAKE_CASE_TRIGGERS = [
    """
    CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.updated_at := clock_timestamp(); NEW.user_email := lower(NEW.user_email); RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER bump BEFORE INSERT OR UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION bump()",
]
FLAT_CONTACT = """
    CREATE TABLE bookings (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "confirmationCode" text UNIQUE, status text DEFAULT 'PENDING',
        "contactName" text, "contactEmail" text, "contactPhone" text, "totalPrice" numeric(10,2),
        "paymentIntentId" text, "createdAt" timestamptz DEFAULT now(), "updatedAt" timestamptz DEFAULT now(), notes text
    )
"""
ONE_NAME = """
    CREATE TABLE bookings (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "bookingReference" text UNIQUE, status text DEFAULT 'PENDING',
        "contactDetails" jsonb, "finalAmount" numeric(10,2), "paymentDate" timestamptz, "paymentMethod" text,
        "paymentReference" text, "createdAt" timestamptz DEFAULT now(), "updatedAt" timestamptz DEFAULT now(),
        notes text
    )
"""

_ONE_NAME_PERSON = {"name": "Ann Lee", "email": "Ann@Example.com", "phone": "0123"}

LAYOUTS = {
    "default": LegacyLayout(
        DEFAULT_LAYOUT,
        ONE_NAME,
        {"bookingReference": "R1", "contactDetails": PERSON, "finalAmount": 68, "createdAt": CREATED_AT},
    ),
    "one name": LegacyLayout(
        DEFAULT_LAYOUT,
        ONE_NAME,
        {"bookingReference": "R1", "contactDetails": _ONE_NAME_PERSON, "finalAmount": 68, "createdAt": CREATED_AT},
    ),
    "lower_case": LegacyLayout(
        PRESETS["lower_case"],
        LOWER_CASE,
        {
            "bookingreference": "R1",
            "contactdetails": json.dumps(PERSON),
            "finalamount": 68,
            "createdat": "2025-07-01 10:30:00",
        },
    ),
    "snake_case": LegacyLayout(
        PRESETS["snake_case"],
        SNAKE_CASE,
        {
            "booking_reference": "R1",
            "contact_details": PERSON,
            "user_email": PERSON["email"],
            "payment_amount": 68,
            "created_at": CREATED_AT,
        },
        SNAKE_CASE_TRIGGERS,
    ),
    "flat_contact": LegacyLayout(
        PRESETS["flat_contact"],
        FLAT_CONTACT,
        {
            "confirmationCode": "R1",
            "contactName": "Ann Lee",
            "contactEmail": PERSON["email"],
            "contactPhone": PERSON["phone"],
            "totalPrice": 68,
            "createdAt": CREATED_AT,
        },
    ),
}

_INSERT = """
    INSERT INTO bookings ({columns}) SELECT {columns}
    FROM json_populate_record(CAST(NULL AS bookings), CAST(:row AS json)) RETURNING CAST(id AS text)
"""


async def lay_out(engine: AsyncEngine, legacy: LegacyLayout) -> None:
    """Put the legacy table in this layout in place of the default one, and the gateway on it."""
    async with engine.begin() as connection:
        for statement in ["DROP TABLE bookings", legacy.table, *legacy.triggers]:
            await connection.execute(text(statement))
    await install(engine, "bookings", legacy.layout)


async def book_in(engine: AsyncEngine, legacy: LegacyLayout, **columns: Any) -> str:
    """Commit Ann's booking, with columns of it replaced, and return its id."""
    row = {**legacy.booking, **columns}
    names = ", ".join(f'"{name}"' for name in row)
    async with engine.begin() as connection:
        inserted = await connection.execute(text(_INSERT.format(columns=names)), {"row": json.dumps(row)})
        return str(inserted.scalar_one())
