"""What live writers do beside an import: who was told as he was made, and who is history, whenever it is captured."""

import pytest

from support.came_to import assert_came_to
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_due import due
from support.legacy_generations import LAYOUTS
from support.legacy_history import facts

FACTS = facts(80, seed=6)
DUE = due(LAYOUTS["default"], FACTS)
NEW = "00000000-0000-4000-8000-000000000001"
INSERT = f"""
    INSERT INTO public.bookings (id, "bookingReference", status, "contactDetails", "finalAmount", "paymentDate",
                                 "paymentMethod", "paymentReference", "createdAt", "updatedAt")
    VALUES ('{NEW}', 'NEW1', 'PAID', '{{"email": "n@example.com", "firstName": "N"}}', 67.50, now(), 'BANK_TRANSFER',
            'BACS 1', now(), now())
"""  # noqa: S608
RECEIVED = "SELECT coalesce(sum(received), 0) FROM payment WHERE booking_id = :id"
AGAIN = (
    "CREATE TABLE public.kept AS SELECT * FROM public.bookings WHERE CAST(id AS text) = :id",
    "DELETE FROM public.bookings WHERE CAST(id AS text) = :id",
    "INSERT INTO public.bookings SELECT * FROM public.kept WHERE CAST(id AS text) = :id",
)


async def red(moved: Moved) -> set[str]:
    return {check.name for check in (await moved.verified()).checks if not check.passed} - {"V12", "V13"}


@pytest.mark.parametrize("captured", [True, False], ids=["captured before", "captured by the import"])
async def test_a_booking_made_before_the_run_is_history_whenever_it_is_captured(
    databases: Databases, *, captured: bool
) -> None:
    async with moving(databases, "default", FACTS) as moved:
        await moved.rows("bookings-gateway", INSERT)
        if captured:
            await moved.settle()

        await moved.import_all()
        await moved.settle()

        assert await moved.value("payments", RECEIVED, id=NEW) == 6750
        assert (await moved.history.status()).counted.told_live == 0
        assert await red(moved) == set()


async def test_a_booking_made_while_the_import_runs_was_told_as_it_was_made(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        await moved.begin()
        await moved.rows("bookings-gateway", INSERT)

        await moved.go_on()
        await moved.settle()

        assert await moved.value("payments", RECEIVED, id=NEW) == 0
        assert (await moved.history.status()).counted.told_live == 1
        assert await red(moved) == set()


async def test_a_historical_row_deleted_and_inserted_again_while_the_import_runs_is_history(
    databases: Databases,
) -> None:
    one = next(id_ for id_, (class_, pence, _) in sorted(DUE.payments.items()) if class_ == "recorded" and pence)
    async with moving(databases, "default", FACTS) as moved:
        await moved.begin()
        for statement in AGAIN:
            await moved.rows("bookings-gateway", statement, id=one)

        await moved.go_on()
        await moved.settle()

        await assert_came_to(moved.rows, DUE)
        assert (await moved.history.status()).counted.told_live == 0
        assert await red(moved) == set()
