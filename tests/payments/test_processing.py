"""What stored events become."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from payments.service import worker
from payments.service.examine import Expected
from payments.service.operate_events import list_events, retry_event
from payments.service.process_events import EventProcessor
from shared.signal import Signal
from support import stripe_payloads as stripe
from support.payments import Payments
from support.waiting import eventually

PAID = stripe.event("payment_intent.succeeded", stripe.payment_intent())
BROKEN = stripe.event("payment_intent.succeeded", stripe.payment_intent("pi_2", currency="pounds"))


async def events_by_state(payments: Payments) -> dict[str, list[str]]:
    rows = await payments.rows("SELECT state, array_agg(id ORDER BY id) AS ids FROM stripe_event GROUP BY state")
    return {row["state"]: row["ids"] for row in rows}


async def make_due(payments: Payments) -> None:
    async with payments.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE stripe_event SET next_attempt_at = now() WHERE state = 'failed'")


async def test_paid_intent_is_published_with_stripes_own_time(payments: Payments) -> None:
    await payments.take(stripe.event("payment_intent.succeeded", stripe.payment_intent(), created=stripe.START + 9))

    (published,) = await payments.published()
    assert (published["type"], published["sequence"]) == ("payment.succeeded", 1)
    assert published["time"] == datetime.fromtimestamp(stripe.START + 9, UTC)
    assert published["data"]["received"] == published["data"]["amount"] == 6750
    assert published["data"]["currency"] == "GBP"


async def test_two_refunds_and_a_failed_one_move_the_total_up_and_down(payments: Payments) -> None:
    await payments.take(PAID)
    for created, id_, status in ((60, "re_1", "succeeded"), (70, "re_2", "succeeded"), (80, "re_2", "failed")):
        refund = stripe.refund(id_, status, created=stripe.START + created)
        await payments.take(stripe.event("refund.updated", refund, created=stripe.START + created))

    published = await payments.published()
    assert [each["type"] for each in published] == ["payment.succeeded", *["payment.refunded"] * 3]
    assert [each["data"]["refunded"] for each in published] == [0, 2000, 4000, 2000]
    assert [each["sequence"] for each in published] == [1, 2, 3, 4]


async def test_refunded_charge_counts_without_any_refund_event(payments: Payments) -> None:
    await payments.take(PAID, stripe.event("charge.refunded", stripe.charge(amount_refunded=2500)))
    assert (await payments.payment())["refunded"] == 2500


async def test_same_refund_told_four_times_counts_once(payments: Payments) -> None:
    refund, charge = stripe.refund(), stripe.charge(amount_refunded=2000)
    at = stripe.START + 60
    await payments.take(
        PAID,
        stripe.event("refund.created", refund, created=at),
        stripe.event("charge.refunded", charge, created=at),
        stripe.event("refund.updated", refund, created=at),
        stripe.event("charge.refund.updated", refund, created=at + 1),
    )
    assert (await payments.payment())["refunded"] == 2000


async def test_released_rest_of_a_partial_capture_is_no_refund(payments: Payments) -> None:
    intent = stripe.payment_intent(amount_received=4000)
    charge = stripe.charge(amount_captured=4000, amount_refunded=2750)
    await payments.take(stripe.event("payment_intent.succeeded", intent), stripe.event("charge.captured", charge))
    payment = await payments.payment()
    assert (payment["amount"], payment["received"], payment["refunded"]) == (6750, 4000, 0)


async def test_refund_before_its_payment_is_kept_and_told_with_it(payments: Payments) -> None:
    await payments.take(stripe.event("refund.created", stripe.refund()))
    assert await payments.published() == []
    assert (await payments.payment())["stripe_payment_intent_id"] == "pi_1"

    await payments.take(PAID)
    (published,) = await payments.published()
    assert (published["type"], published["data"]["refunded"]) == ("payment.succeeded", 2000)


@pytest.mark.parametrize("together", [True, False])
async def test_refund_that_names_only_its_charge_waits_for_it(payments: Payments, together: bool) -> None:  # noqa: FBT001
    lonely = stripe.event("refund.created", stripe.refund(payment_intent=None), created=stripe.START + 60)
    rest = [PAID, stripe.event("charge.succeeded", stripe.charge())]
    for events in [[lonely, *rest]] if together else [[each] for each in (lonely, *rest)]:
        await payments.take(*events)
    payment = await payments.payment()
    assert (payment["stripe_charge_id"], payment["refunded"]) == ("ch_1", 2000)


async def test_charge_that_learns_its_intent_late_is_not_paid_twice(payments: Payments) -> None:
    await payments.take(
        stripe.event("charge.succeeded", stripe.charge(payment_intent=None)),
        stripe.event("refund.created", stripe.refund(payment_intent=None), created=stripe.START + 1),
    )
    await payments.take(PAID)
    await payments.take(stripe.event("charge.updated", stripe.charge(), created=stripe.START + 2))
    rows = await payments.rows("SELECT status, received, refunded FROM payment ORDER BY received")
    assert rows == [
        {"status": "canceled", "received": 0, "refunded": 0},
        {"status": "succeeded", "received": 6750, "refunded": 2000},
    ]


async def test_abandoned_cart_is_no_news(payments: Payments) -> None:
    begun = stripe.payment_intent(status="requires_payment_method")
    await payments.take(stripe.event("payment_intent.created", begun))
    assert (await payments.payment())["status"] == "created"
    assert await payments.published() == []


async def test_amount_beyond_int4_is_kept_exactly(payments: Payments) -> None:
    rupiah = stripe.payment_intent(amount=3_000_000_000_00, amount_received=3_000_000_000_00, currency="idr")
    await payments.take(stripe.event("payment_intent.succeeded", rupiah))
    assert (await payments.payment())["received"] == 3_000_000_000_00


async def test_unreadable_event_fails_alone(payments: Payments) -> None:
    await payments.take(PAID, BROKEN)

    assert await events_by_state(payments) == {"processed": [PAID["id"]], "failed": [BROKEN["id"]]}
    (failed,) = await list_events(payments.engine, state="failed", limit=10)
    assert "currency" in failed.error
    assert failed.next_attempt_at > datetime.now(UTC)


async def test_event_the_database_refuses_is_isolated(payments: Payments) -> None:
    async with payments.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE payment ADD CHECK (amount <> 666)")
    events = [stripe.event("payment_intent.succeeded", stripe.payment_intent(f"pi_{number}")) for number in range(20)]
    cursed = stripe.event("payment_intent.succeeded", stripe.payment_intent("pi_x", amount=666))

    await payments.take(*events[:10], cursed, *events[10:])

    states = await events_by_state(payments)
    assert states["failed"] == [cursed["id"]]
    assert len(states["processed"]) == 20


async def test_failed_event_is_given_up_and_retried_by_hand(payments: Payments) -> None:
    await payments.take(BROKEN)
    for _ in range(4):
        await make_due(payments)
        await payments.process()
    (row,) = await payments.rows("SELECT attempts, next_attempt_at FROM stripe_event")
    assert row == {"attempts": 5, "next_attempt_at": None}

    assert await retry_event(payments.engine, BROKEN["id"], by="ann")
    await payments.process()
    (row,) = await payments.rows("SELECT attempts, next_attempt_at IS NOT NULL AS again FROM stripe_event")
    assert row == {"attempts": 1, "again": True}


async def test_unknown_and_thin_events_are_ignored(payments: Payments) -> None:
    unknown = stripe.event("customer.created", {"id": "cus_1", "object": "customer"})
    thin = {"id": "evt_thin", "object": "v2.core.event", "type": "v2.core.x", "created": "2026-01-01T00:00:00Z"}
    twin = {**thin, "id": "evt_twin", "type": "payment_intent.succeeded", "snapshot_event": "evt_1"}
    await payments.take(unknown, thin, twin)
    assert set(await events_by_state(payments)) == {"ignored"}


@pytest.mark.parametrize("fields", [{"livemode": True}, {"account": "acct_other"}])
async def test_foreign_events_are_quarantined(payments: Payments, fields: dict[str, Any]) -> None:
    await payments.take({**PAID, **fields})
    assert set(await events_by_state(payments)) == {"quarantined"}
    assert await payments.rows("SELECT 1 FROM payment") == []


async def test_workers_side_by_side_lose_and_double_nothing(payments: Payments) -> None:
    events = [
        each
        for number in range(60)
        for each in (
            stripe.event(
                "payment_intent.succeeded", stripe.payment_intent(f"pi_{number}", latest_charge=f"ch_{number}")
            ),
            stripe.event("charge.succeeded", stripe.charge(f"ch_{number}", payment_intent=f"pi_{number}")),
            stripe.event("refund.created", stripe.refund(f"re_{number}", charge=f"ch_{number}", payment_intent=None)),
        )
    ]

    processor = EventProcessor(payments.engine, "/payments", Expected(livemode=False))
    workers = [asyncio.create_task(worker.run(processor, stored=payments.stored, committed=Signal())) for _ in range(3)]
    for start in range(0, len(events), 7):
        await payments.store(events[start : start + 7])

    async def settled() -> bool:
        return set(await events_by_state(payments)) == {"processed"}

    await eventually(settled, what="all events processed")
    for each in workers:
        each.cancel()
    await asyncio.wait(workers)

    rows = await payments.rows("SELECT status, received, refunded, count(*) AS n FROM payment GROUP BY 1, 2, 3")
    assert rows == [{"status": "succeeded", "received": 6750, "refunded": 2000, "n": 60}]
