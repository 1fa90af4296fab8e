"""Bookings of the time before this system: in the legacy table when the gateway first sees it."""

import asyncpg

from local_stack.coroutines import run_coroutine
from local_stack.errors import PartFailed, StackError
from local_stack.legacy import load_legacy_table
from local_stack.services import GATEWAY
from local_stack.settings import needs_postgres
from local_stack.stack import CHECKOUT, Stack

REFERENCE = "DEMO-"
_LEGACY_TABLE = CHECKOUT / "deploy" / "local" / "legacy_bookings.sql"
_CONNECT_SECONDS = 10.0
_TROUBLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

# Only where the gateway has not been yet, and beside nothing of anybody's own.
_UNTOUCHED = "SELECT to_regclass('gateway.booking_change') IS NULL AND NOT EXISTS (SELECT FROM bookings)"
_FOREIGN = """SELECT EXISTS (SELECT FROM bookings WHERE "bookingReference" NOT LIKE $1 || '%')"""
_OLD_BOOKINGS = """
    INSERT INTO bookings ("bookingReference", status, "contactDetails", "finalAmount", "paymentDate", "paymentMethod",
                          "paymentReference", "createdAt", "updatedAt")
    SELECT $1 || 'OLD-' || number, status, CAST(contact AS jsonb), amount, CAST(paid_at AS timestamptz), method,
           reference, CAST(created_at AS timestamptz), CAST(created_at AS timestamptz)
    FROM (VALUES
        (1, 'COMPLETED', '{"firstName": "Ann", "lastName": "Lee", "email": "ann.lee@example.com"}', 67.50,
         '2025-01-15T10:30:00Z', 'card', 'pi_before_1', '2025-01-12T09:00:00Z'),
        (2, 'ATTENDED', '{"firstName": "Ben", "lastName": "Okafor", "email": "ben@example.com"}', 120.00,
         '2025-02-03T14:00:00Z', 'bank transfer', NULL, '2025-02-01T16:20:00Z'),
        (3, 'CANCELLED', '{"firstName": "Dora", "lastName": "Novak", "email": "dora@example.com"}', 80.00,
         NULL, NULL, NULL, '2025-03-09T11:45:00Z'),
        (4, 'CONFIRMED', '{"firstName": "", "lastName": "Reed", "email": ""}', 45.00,
         NULL, 'invoice', NULL, '2025-04-22T08:10:00Z')
    ) AS old (number, status, contact, amount, paid_at, method, reference, created_at)
"""
# What years of several programs left: the same people written in many ways, contacts that tell nobody, card payments
# that look unpaid, cancelled ones that were paid, words nobody remembers. The same in every run.
_MESSY_BOOKINGS = """
    WITH one AS (
        SELECT number, 'person' || number % 611 || '@example.com' AS email,
               timestamptz '2023-01-02 08:00Z' + number * interval '9 hours 17 minutes' AS created_at,
               (ARRAY['PENDING', 'CONFIRMED', 'PAID', 'ATTENDED', 'COMPLETED', 'CANCELLED', 'NO_SHOW'])[number % 7 + 1]
                   AS word
        FROM generate_series(1, $2) AS number
    ), told AS (
        SELECT *, number % 3 = 0 AND word <> 'PENDING' AS by_card,
               jsonb_build_object('firstName', (ARRAY['Ann', 'Ben', 'Chloé', 'Dora', 'Eve'])[number % 611 % 5 + 1],
                   'lastName', 'No. ' || number % 611, 'phone', '07700 ' || number % 611,
                   'email', CASE WHEN number % 8 = 0 THEN ' ' || upper(email) ELSE email END) AS contact
        FROM one
    )
    INSERT INTO bookings ("bookingReference", status, "contactDetails", "finalAmount", "paymentDate", "paymentMethod",
                          "paymentReference", "createdAt", "updatedAt")
    SELECT $1 || 'OLD-M' || number,
           CASE WHEN number % 89 = 0 THEN lower(word) WHEN number % 97 = 0 THEN 'on hold' ELSE word END,
           CASE WHEN number % 41 = 0 THEN NULL WHEN number % 43 = 0 THEN '{}' WHEN number % 47 = 0 THEN '"see file"'
                WHEN number % 53 = 0 THEN contact || '{"email": "  "}'
                WHEN number % 59 = 0 THEN to_jsonb(contact #>> '{}')
                WHEN number % 61 = 0 THEN contact - 'firstName' - 'lastName' || '{"name": "Office Desk"}'
                ELSE contact END,
           CASE WHEN number % 71 = 0 THEN 0 ELSE 45 + number % 13 * 17.25 END,
           CASE WHEN by_card OR number % 11 = 0 AND word <> 'PENDING' THEN created_at + interval '2 days' END,
           CASE WHEN by_card THEN 'CARD' WHEN number % 5 = 0 THEN 'INVOICE' END,
           CASE WHEN by_card THEN 'pi_before_m' || number END,
           CASE WHEN number IN (500, 1500) THEN timestamptz '2091-01-01' ELSE created_at END, created_at
    FROM told
"""
_MESSY = 1_996


def load_sample(stack: Stack) -> int:
    """Create the legacy table with old bookings unless it is in use already; returns how many were made.

    Starts PostgreSQL for that when it is ours. Raises `PartFailed` when the database cannot be used.
    """
    if needs_postgres(stack.user_environment):
        stack.postgres.start()
    url = _gateway_url(stack)
    try:
        load_legacy_table(url, _LEGACY_TABLE)
        return run_coroutine(_insert_old_bookings(url))
    except _TROUBLE as error:
        raise PartFailed(f"The database of {GATEWAY.database_setting} cannot be used: {error}") from error


def refuse_foreign_bookings(stack: Stack) -> None:
    """Raise a `StackError` when the user's own database holds bookings that are not the demo's.

    The demo writes to that table. A database of ours is for playing.
    """
    url = stack.user_environment.get(GATEWAY.database_setting)
    if url and run_coroutine(_has_foreign_bookings(url)):
        raise StackError(
            f"{GATEWAY.database_setting} names a database with bookings in it, and the demo writes more. "
            "Give it an empty database, or unset the variable."
        )


def _gateway_url(stack: Stack) -> str:
    return stack.user_environment.get(GATEWAY.database_setting) or stack.postgres.url(GATEWAY.database)


async def _insert_old_bookings(url: str) -> int:
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        if not await connection.fetchval(_UNTOUCHED):
            return 0
        told = await connection.execute(_OLD_BOOKINGS, REFERENCE)
        messy = await connection.execute(_MESSY_BOOKINGS, REFERENCE, _MESSY)
        return int(told.split()[-1]) + int(messy.split()[-1])
    finally:
        await connection.close()


async def _has_foreign_bookings(url: str) -> bool:
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        return bool(await connection.fetchval(_FOREIGN, REFERENCE))
    finally:
        await connection.close()
