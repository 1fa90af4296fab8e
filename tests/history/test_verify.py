"""A verification holds after a true import and names the very rows behind every kind of difference."""

from typing import Any

import pytest

from support.databases import Databases
from support.history import Moved, moving
from support.legacy_generations import LAYOUTS
from support.legacy_history import facts

PASSED_BUT = {"V12", "V13"}  # traps are set aside on purpose; the rehearsal is a command of its own


async def failed(moved: Moved) -> dict[str, tuple[int, list[str]]]:
    result = await moved.verified()
    return {check.name: (check.behind, list(check.rows)) for check in result.checks if not check.passed}


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_every_invariant_holds_after_an_import(databases: Databases, layout: str) -> None:
    async with moving(databases, layout, facts(300, seed=5, integer_ids=LAYOUTS[layout].integer_ids)) as moved:
        await moved.import_all()
        await moved.settle()

        assert (await failed(moved)).keys() == PASSED_BUT


ONE = "(SELECT booking_id FROM import_ledger WHERE class = 'recorded' AND amount > 0 ORDER BY 1 LIMIT 1)"
PAID = "(SELECT id FROM payment WHERE received > 0 LIMIT 1)"
BREAKS: dict[str, tuple[str, str]] = {
    "V1": ("bookings-gateway", "DELETE FROM import_item WHERE booking_id = {one}"),
    "V2": ("bookings-gateway", "UPDATE import_item SET sha256 = 'x' WHERE booking_id = {one}"),
    "V3": ("bookings-gateway", "DELETE FROM public.bookings WHERE CAST(id AS text) = {one}"),
    "V4": ("users", "UPDATE users SET email = upper(email), identity = upper(email) WHERE email LIKE 'person1@%'"),
    "V5": ("payments", "UPDATE payment SET received = received + 1 WHERE id = {paid}"),
    "V6": ("payments", "UPDATE payment SET user_id = 'x' WHERE id = {paid}"),
    "V7": ("users", "DELETE FROM contact_variant WHERE ctid = (SELECT min(ctid) FROM contact_variant)"),
    "V8 spent": ("bookings-gateway", "DELETE FROM booking_user WHERE booking_id = {one}"),
    "V8 paid": ("bookings-gateway", "DELETE FROM booking_payment WHERE booking_id = {one}"),
    "V9": (
        "bookings-gateway",
        "INSERT INTO booking_change (op, booking_id, row, changed_at) VALUES ('U','','{{}}',now())",
    ),
    "V10": (
        "bookings-gateway",
        """DO $$ BEGIN
            UPDATE public.bookings SET "paymentDate" = '12024-01-01' WHERE CAST(id AS text) = {one};
            CREATE OR REPLACE FUNCTION far_time(moment timestamptz) RETURNS text LANGUAGE sql AS 'SELECT chr(33)';
        END $$""",
    ),
    "V11": ("bookings-gateway", "UPDATE public.bookings SET status = 'ODD' WHERE CAST(id AS text) = {one}"),
}


@pytest.mark.parametrize("check", BREAKS)
async def test_what_is_wrong_is_found(databases: Databases, check: str) -> None:
    service, sql = BREAKS[check]
    async with moving(databases, "default", facts(80, seed=6)) as moved:
        await moved.import_all()
        await moved.settle()
        if service == "bookings-gateway":
            await moved.rows(service, "ALTER TABLE public.bookings DISABLE TRIGGER USER")
        if service == "users":
            await moved.rows(service, "ALTER TABLE users DROP CONSTRAINT users_check")

        await moved.rows(service, sql.format(one=ONE, paid=PAID))

        assert check in await failed(moved)


async def test_money_is_balanced_class_by_class_and_month_by_month(databases: Databases) -> None:
    async with moving(databases, "default", facts(200, seed=8)) as moved:
        await moved.import_all()
        await moved.settle()
        lines: list[Any] = list((await moved.verified()).money)

    assert {line["class"] for line in lines} == {"stripe", "recorded", "status_only", "invoice"}
    assert all(line["balanced"] and line["due"] == line["recorded"] for line in lines)
