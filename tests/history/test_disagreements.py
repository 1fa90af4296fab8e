"""Money that is not as the row says, for a reason: it waits at the error desk, or somebody decided; V5 knows both."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from bookings_gateway.history.codes import WHAT_TO_DO
from bookings_gateway.history.desk import ErrorDesk
from bookings_gateway.history.errors import RefusedAgain
from bookings_gateway.history.evidence import Review
from payments.service.match_by_hand import match_by_hand
from payments.service.record_manual_payment import CashDesk, ManualPayment, Method
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_due import due
from support.legacy_generations import LAYOUTS
from support.legacy_history import facts

FACTS = facts(90, seed=61)
PAYMENT = """
    SELECT id, booking_id, received FROM payment
    WHERE provenance ->> 'evidence' = :evidence AND received > refunded ORDER BY id LIMIT 1
"""


async def checks_and_money(moved: Moved) -> tuple[set[str], dict[str, str]]:
    """The checks that failed, and the sums of in_review and waived that are not nought."""
    result = await moved.verified()
    sums = {name: line[name] for line in result.money for name in ("in_review", "waived") if line[name] != "0.00"}
    return {check.name for check in result.checks if not check.passed} - {"V12", "V13"}, sums


async def test_an_amount_stripe_says_otherwise_waits_at_the_desk_until_somebody_decides(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        await moved.import_all()
        await moved.settle()
        desk = ErrorDesk(moved.history)
        (paid,) = await moved.rows("payments", PAYMENT, evidence="stripe")

        await moved.stripe_says(paid["booking_id"], paid["received"] - 50)
        assert await checks_and_money(moved) == (set(), {"in_review": "0.50"})
        (entry,) = await desk.find(states=["review"], code="amount_disagrees")
        assert entry["id"] == paid["booking_id"]

        assert await desk.waive(await desk.ids_of("amount_disagrees"), by="Olga", reason="a discount") == 1
        assert await checks_and_money(moved) == (set(), {"waived": "0.50"})
        assert "amount_disagrees" not in await desk.by_code()

        await moved.stripe_says(paid["booking_id"], paid["received"])
        assert await checks_and_money(moved) == (set(), {})
        assert await desk.find(states=["review", "reviewed"], code="amount_disagrees") == []


async def test_a_historical_payment_somebody_canceled_is_no_difference(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        await moved.import_all()
        await moved.settle()
        (paid,) = await moved.rows("payments", PAYMENT, evidence="recorded")

        assert await CashDesk(moved.engines["payments"], "/payments").cancel(
            UUID(str(paid["id"])), by="Olga", reason="never came"
        )
        await moved.settle()

        failed, sums = await checks_and_money(moved)
        assert (failed, set(sums)) == (set(), {"waived"})
        assert (await moved.history.status()).settled


@pytest.mark.parametrize("status", ["canceled", "failed"])
async def test_a_historical_payment_stripe_says_never_came_waits_at_the_desk(databases: Databases, status: str) -> None:
    async with moving(databases, "default", FACTS) as moved:
        await moved.import_all()
        await moved.settle()
        (paid,) = await moved.rows("payments", PAYMENT, evidence="stripe")
        said = "SET status = :status, received = 0 WHERE booking_id = :id"
        for service, table in (("payments", "payment"), ("bookings-gateway", "booking_payment")):
            await moved.rows(service, f"UPDATE {table} {said}", status=status, id=paid["booking_id"])

        failed, sums = await checks_and_money(moved)
        assert (failed - {"V8 paid"}, set(sums)) == (set(), {"in_review"})
        (entry,) = await ErrorDesk(moved.history).find(states=["review"], code="amount_disagrees")
        assert entry["id"] == paid["booking_id"]
        assert (await moved.history.status()).settled


RECORDED = next(
    (id_, pence)
    for id_, (class_, pence, _) in sorted(due(LAYOUTS["default"], FACTS).payments.items())
    if class_ == "recorded" and pence > 1000
)
OF_ONE = "SELECT status, received FROM payment WHERE booking_id = :id AND currency IS NOT NULL ORDER BY migrated"
PAID = "SELECT coalesce(sum(received), 0) FROM gateway.booking_payment WHERE booking_id = :id"


async def pay_besides(moved: Moved, pence: int) -> UUID:
    """Record so much for the booking by hand; it was changed before, so payments knows it."""
    paid = ManualPayment(
        method=Method.CASH,
        amount=Decimal(pence) / 100,
        currency="GBP",
        paid_at=datetime.now(UTC),
        booking=RECORDED[0],
        reference=None,
        recorded_by="Olga",
    )
    touch = 'UPDATE bookings SET "updatedAt" = now() WHERE CAST(id AS text) = :id'
    await moved.rows("bookings-gateway", touch, id=RECORDED[0])
    await moved.settle()
    id_, _ = await CashDesk(moved.engines["payments"], "/payments").record(paid, key="form-0001")
    await moved.settle()
    return id_


@pytest.mark.parametrize("is_first", [True, False], ids=["paid first", "imported first"])
async def test_the_same_money_told_by_a_payment_counts_once_whichever_came_first(
    databases: Databases, *, is_first: bool
) -> None:
    id_, pence = RECORDED
    async with moving(databases, "default", FACTS) as moved:
        if is_first:
            await pay_besides(moved, pence)
        await moved.import_all()
        await moved.settle()
        if not is_first:
            await pay_besides(moved, pence)

        assert [tuple(row.values()) for row in await moved.rows("payments", OF_ONE, id=id_)] == [
            ("succeeded", pence),
            ("canceled", 0),
        ]
        assert await moved.value("bookings-gateway", PAID, id=id_) == pence
        failed, sums = await checks_and_money(moved)
        assert (failed, set(sums)) == (set(), {"waived"})
        assert "paid_besides" not in await ErrorDesk(moved.history).by_code()
        assert (await moved.history.status()).settled


@pytest.mark.parametrize("is_first", [True, False], ids=["paid first", "imported first"])
async def test_another_amount_stands_beside_what_the_row_proves_and_waits_at_the_desk(
    databases: Databases, *, is_first: bool
) -> None:
    id_, pence = RECORDED
    async with moving(databases, "default", FACTS) as moved:
        if is_first:
            paid = await pay_besides(moved, 100)
        await moved.import_all()
        await moved.settle()
        if not is_first:
            paid = await pay_besides(moved, 100)
        desk = ErrorDesk(moved.history)

        assert (await checks_and_money(moved))[0] == set()
        assert await moved.value("bookings-gateway", PAID, id=id_) == pence + 100
        assert await desk.ids_of("paid_besides") == [id_]
        assert await desk.waive([id_], by="Olga", reason="a deposit") == 1
        await moved.verified()
        assert "paid_besides" not in await desk.by_code()

        await CashDesk(moved.engines["payments"], "/payments").cancel(paid, by="Olga", reason="a typing error")
        await moved.settle()
        assert (await checks_and_money(moved))[0] == set()
        assert await desk.find(states=["review", "reviewed"], code="paid_besides") == []


async def test_a_payment_somebody_gave_to_another_booking_is_no_difference(databases: Databases) -> None:
    shared = "SELECT booking_id FROM import_item WHERE 'intent_shared' = ANY(reviews) ORDER BY 1"
    async with moving(databases, "default", FACTS) as moved:
        await moved.import_all()
        await moved.settle()
        (to, *_) = await moved.rows("bookings-gateway", shared)
        found = "SELECT id, booking_id FROM payment WHERE stripe_payment_intent_id = 'pi_SHAREDBYTWO'"
        (paid,) = await moved.rows("payments", found)
        await match_by_hand(moved.engines["payments"], "/payments", paid["id"], booking=to["booking_id"], by="Olga")
        await moved.settle()

        assert await checks_and_money(moved) == (set(), {})
        ledger = "SELECT payment_outcome FROM import_ledger WHERE booking_id = :id"
        assert await moved.value("bookings-gateway", ledger, id=paid["booking_id"]) == "matched_by_hand"
        assert (await moved.history.status()).settled

        await moved.rows("payments", "UPDATE payment SET matched_by_hand = false")
        failed, _ = await checks_and_money(moved)
        assert failed == {"V1", "V5"}


async def test_an_amount_somebody_corrected_is_what_was_told_even_when_the_correction_is_gone(
    databases: Databases,
) -> None:
    async with moving(databases, "default", FACTS) as moved:
        await moved.import_all()
        await moved.settle()
        future = next(str(fact.id) for fact in FACTS if fact.created and fact.created.year > 2050)
        said = {"createdAt": "2024-05-01T10:00:00+00:00", "finalAmount": "1.23"}
        await ErrorDesk(moved.history).correct(future, said, by="Olga", reason="typing error")
        await moved.settle()
        assert await checks_and_money(moved) == (set(), {})

        await moved.rows("bookings-gateway", "UPDATE import_item SET correction = NULL")  # by an erasure, or the end
        assert await checks_and_money(moved) == (set(), {})

        whose = await moved.value("users", "SELECT user_id FROM booking_link WHERE booking_id = :id", id=future)
        less = "UPDATE generation_1.currency_totals SET spent = spent - 0.01 WHERE user_id = :id"
        await moved.rows("stats", less, id=whose)
        assert await checks_and_money(moved) == ({"V8 spent"}, {})


async def test_a_retry_the_database_breaks_off_leaves_run_and_entry_as_they_were(databases: Databases) -> None:
    async with moving(databases, "default", FACTS) as moved:
        await moved.import_all()
        before = await moved.rows("bookings-gateway", "SELECT * FROM import_run")
        id_ = sorted(due(LAYOUTS["default"], FACTS).set_aside)[0]
        refuse = "ALTER TABLE import_item ADD CHECK (attempts < 2) NOT VALID"
        await moved.rows("bookings-gateway", refuse)

        with pytest.raises(RefusedAgain):
            await ErrorDesk(moved.history).retry([id_], by="Olga")

        assert await moved.rows("bookings-gateway", "SELECT * FROM import_run") == before
        assert (await ErrorDesk(moved.history).show(id_))["decisions"] == []


def test_every_code_says_what_to_do() -> None:
    assert {str(review) for review in Review} <= WHAT_TO_DO.keys()
