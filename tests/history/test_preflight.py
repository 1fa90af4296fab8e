"""Before anything: what stands in the way is said, with the way out; nobody's address is repeated."""

import json

import asyncpg
import pytest

from bookings_gateway.domain import DEFAULT_LAYOUT
from bookings_gateway.errors import LegacyTableUnfit
from bookings_gateway.history.preflight import preflight
from bookings_gateway.legacy_table import find
from shared.database import create_engine
from support.databases import Databases
from support.history import moving
from support.legacy_due import due
from support.legacy_generations import LAYOUTS
from support.legacy_history import facts
from support.staff import add_account

WITHOUT_CONTACT = """
    CREATE TABLE users (id uuid PRIMARY KEY, email text);
    CREATE TABLE bookings (id uuid PRIMARY KEY, "bookingReference" text, status text, "finalAmount" numeric,
        "paymentDate" timestamptz, "paymentMethod" text, "paymentReference" text, "createdAt" timestamptz,
        "updatedAt" timestamptz, user_id uuid REFERENCES users)
"""


async def test_it_predicts_and_names_staff_among_the_customers_by_their_bookings(databases: Databases) -> None:
    bookings = facts(80, seed=15)
    async with moving(databases, "default", bookings) as moved:
        await moved.rows("bookings-gateway", "CREATE TABLE public.users (id integer, email text)")
        await moved.rows("bookings-gateway", "INSERT INTO public.users VALUES (1, ' Office@example.com ')")
        await add_account(moved.gateway, "john@gmail.com")

        found = await preflight(moved.history)

    by_staff = {str(fact.id) for fact in bookings if fact.mailbox in {"office@example.com", "john@gmail.com"}}
    assert found.passed
    assert found.prediction.users == due(LAYOUTS["default"], bookings).users
    assert set(found.prediction.by_staff) == by_staff
    (told,) = [point.found for point in found.points if point.what == "staff among the customers"]
    assert told.startswith(f"2 addresses of staff booked {len(by_staff)} times")
    assert all(id_ in told for id_ in by_staff)
    assert "@" not in json.dumps(found.as_json()["points"])


async def test_columns_nobody_decided_on_are_named_before_anybody_is_erased(databases: Databases) -> None:
    async with moving(databases, "default", facts(3, seed=1)) as moved:
        added = """ALTER TABLE public.bookings ADD "medicalNotes" text, ADD "hairColour" text, ADD tags text[],
                   ADD seats integer, ADD "courseName" text"""
        await moved.rows("bookings-gateway", added)

        found = await preflight(moved.history)

    told = {point.what: point.found for point in found.points}
    assert told["emptied by an erasure"] == "contactDetails, participants, medicalNotes"
    assert told["columns nobody decided on"].startswith("hairColour, tags; an erasure leaves them")


async def test_a_table_that_does_not_tell_who_booked_is_refused_with_the_way_to_mend_it(databases: Databases) -> None:
    url = await databases.create()
    connection = await asyncpg.connect(url)
    await connection.execute(WITHOUT_CONTACT)
    engine = create_engine(url, name="tests")
    async with engine.connect() as looking:
        with pytest.raises(LegacyTableUnfit, match="column user_id points to users, which has email") as refused:
            await find(looking, "bookings", DEFAULT_LAYOUT)
    await engine.dispose()

    said = str(refused.value)
    for statement in ("ALTER TABLE bookings ADD COLUMN contact jsonb", said[said.index("UPDATE ") :].split(";")[0]):
        assert statement in said
        await connection.execute(statement)  # what it says can be done
    assert 'user_id = "customer_id"' in said
    await connection.close()
