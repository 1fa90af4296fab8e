"""What webhooks never brought is found at Stripe, whatever was missed and however the walk is disturbed."""

import json
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

import pytest

from payments.errors import AlreadyReconciling, StripeAway
from payments.operations import Operations
from payments.service.reconcile_events import listed
from support import stripe_payloads as stripe
from support.fake_stripe import DAY, FakeStripe
from support.payments import Payments

NOW = int(time())


def paid(number: int, *, created: int = NOW - 3600) -> stripe.Json:
    intent = stripe.payment_intent(f"pi_{number}", created=created, latest_charge=None)
    return stripe.event("payment_intent.succeeded", intent, created=created)


async def everything(payments: Payments) -> dict[str, Any]:
    """All that a run could change."""
    tables = ("stripe_event", "stripe_delivery", "stripe_object", "payment", "event_log", "outbox", "fetch_request")
    return {
        table: await payments.rows(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) AS all FROM {table} t")  # noqa: S608
        for table in tables
    }


async def test_events_of_an_outage_are_all_found_and_a_second_run_changes_nothing(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    events = [paid(number, created=NOW - 3600 + number // 7) for number in range(250)]
    account.announces(*events)
    await payments.take(*events[:100])

    report = await parts.reconciler.run()

    assert {each.id for each in report.events} == {each["id"] for each in events[100:]}
    assert report.objects == []
    assert len(await payments.rows("SELECT 1 FROM payment WHERE status = 'succeeded'")) == 250
    before = await everything(payments)
    again = await parts.reconciler.run()
    assert again.missed == 0
    assert await everything(payments) == before


async def test_missed_event_is_kept_byte_for_byte_as_listed(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    account.announces(paid(1))
    await parts.reconciler.run()

    (row,) = await payments.rows("SELECT body, source FROM stripe_delivery")
    page = json.dumps({"object": "list", "data": [paid(1)]}, indent=2)
    assert row["source"] == "reconcile"
    assert row["body"].decode() in page


def test_list_is_cut_into_exact_bytes_whatever_its_layout() -> None:
    events = [{"id": "evt_1", "a": "}],{ \\u0000 é", "data": {"data": []}}, {"id": "evt_2", "n": 1.0e5}]
    for text in (
        json.dumps({"has_more": False, "object": {"data": [1]}, "data": events}),
        json.dumps({"data": events, "x": None}, indent=4, ensure_ascii=False),
        json.dumps({"data": events}, separators=(",", ":")),
    ):
        cut = listed(text)
        assert [each.event for each in cut] == events
        assert all(each.body in text.encode() for each in cut)
    assert listed('{"object": "list", "data": []}') == []
    with pytest.raises(StripeAway):
        listed('{"object": "list"}')


async def test_dry_run_says_what_was_missed_and_writes_nothing(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    account.announces(paid(1))
    account.holds(stripe.charge(created=NOW - 60))
    before = await everything(payments)

    report = await parts.reconciler.run(dry_run=True)

    assert [each.type for each in report.events] == ["payment_intent.succeeded"]
    assert {each.id for each in report.objects} == {"pi_1", "ch_1"}
    assert await everything(payments) == before
    assert await payments.rows("SELECT 1 FROM reconcile_run") == []


async def test_events_that_appear_while_walking_shift_no_page(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    account.announces(*(paid(number) for number in range(250)))  # all in one second: every page ends inside it
    newer = iter(range(1000, 1100))
    account.page_hook = lambda: account.announces(paid(next(newer), created=int(time())))

    await parts.reconciler.run()

    found = {row["id"] for row in await payments.rows("SELECT stripe_payment_intent_id AS id FROM payment")}
    assert {f"pi_{number}" for number in range(250)} <= found


async def test_late_event_of_a_time_walked_before_is_found_by_the_overlap(
    parts: Operations, account: FakeStripe
) -> None:
    account.announces(paid(1, created=NOW - 60))
    await parts.reconciler.run()
    account.events.append(paid(2, created=NOW - 120))  # its object is not listed: only the overlap can find it

    report = await parts.reconciler.run()

    assert [each.id for each in report.events] == [paid(2, created=NOW - 120)["id"]]


async def test_mark_stays_where_it_was_when_the_walk_did_not_end(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    account.announces(*(paid(number) for number in range(150)))
    account.faults.extend([429, 500, 503])
    calls = 0

    def fall_silent() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            account.faults.extend([500] * 20)

    account.page_hook = fall_silent
    with pytest.raises(StripeAway):
        await parts.reconciler.run()
    assert await payments.rows("SELECT 1 FROM reconcile_run") == []
    assert len(await payments.rows("SELECT 1 FROM stripe_event")) >= 100  # what was found is kept

    account.faults.clear()
    await parts.reconciler.run()
    assert len(await payments.rows("SELECT 1 FROM payment")) == 150


@pytest.mark.parametrize("fault", [429, 500, 503, "hang"])
async def test_walk_waits_out_a_fault(parts: Operations, account: FakeStripe, fault: int | str) -> None:
    account.announces(paid(1))
    account.faults.extend([fault, fault])
    assert (await parts.reconciler.run()).missed == 1


async def test_object_no_event_ever_told_of_is_found(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    created = NOW - 3600
    account.holds(
        stripe.payment_intent(created=created),
        stripe.charge(created=created, amount_refunded=2000),
        stripe.refund(created=created),
    )

    report = await parts.reconciler.run()

    assert {each.id for each in report.objects} == {"pi_1", "ch_1", "re_1"}
    payment = await payments.payment()
    assert (payment["received"], payment["refunded"]) == (6750, 2000)
    before = await everything(payments)
    assert (await parts.reconciler.run()).missed == 0
    assert await everything(payments) == before


async def test_objects_older_than_events_are_found_when_asked_for(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    old = NOW - 90 * DAY
    account.announces(paid(1, created=old))
    assert (await parts.reconciler.run()).missed == 0

    report = await parts.reconciler.run(since=datetime.fromtimestamp(old, UTC) - timedelta(days=1))

    assert [each.id for each in report.objects] == ["pi_1"]
    assert (await payments.payment())["received"] == 6750


async def test_old_refund_that_failed_unannounced_gives_the_money_back_to_the_total(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    old = NOW - 20 * DAY
    intent, charge = stripe.payment_intent(created=old), stripe.charge(created=old)
    refund = stripe.refund(created=old + 60)
    events = [
        stripe.event("payment_intent.succeeded", intent, created=old),
        stripe.event("charge.succeeded", charge, created=old),
        stripe.event("refund.created", refund, created=old + 60),
    ]
    await payments.take(*events)
    account.announces(*events)
    await parts.reconciler.run()
    assert (await payments.payment())["refunded"] == 2000

    account.holds({**refund, "status": "failed", "failure_reason": "expired_or_canceled_card"})
    report = await parts.reconciler.run()

    assert [each.id for each in report.objects] == ["re_1"]
    assert (await payments.payment())["refunded"] == 0


async def test_objects_of_the_other_mode_are_left_alone(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    account.holds(stripe.payment_intent(created=NOW, livemode=True))
    report = await parts.reconciler.run()
    assert (report.foreign, await payments.rows("SELECT 1 FROM payment")) == (1, [])


async def test_one_run_at_a_time(parts: Operations) -> None:
    async with parts.reconciler._alone(needed=True):
        with pytest.raises(AlreadyReconciling):
            await parts.reconciler.run()
    assert (await parts.reconciler.run()).missed == 0


async def test_doubt_left_by_an_event_is_answered_by_asking(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    await payments.take(
        stripe.event("payment_intent.succeeded", stripe.payment_intent()),
        stripe.event("charge.refunded", stripe.charge(amount_refunded=2500), created=stripe.START + 90),
    )
    account.holds(stripe.refund(amount=2500))

    assert await parts.fetcher.fetch_due()

    assert [row["id"] for row in await payments.rows("SELECT id FROM refund")] == ["re_1"]
    assert (await payments.payment())["refunded"] == 2500
    assert await parts.fetcher.fetch_due() == 0


@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(days=20)], ids=["in the window", "long before it"])
async def test_fee_no_event_tells_is_read_with_the_charge_and_told_once(
    payments: Payments, parts: Operations, account: FakeStripe, age: timedelta
) -> None:
    created = NOW - int(age.total_seconds())
    settled = stripe.balance_transaction(6750, fee=121)
    charge = stripe.charge(created=created, balance_transaction=settled["id"])
    updated = stripe.event("charge.updated", charge, created=created, previous={"balance_transaction": None})
    await parts.reconciler.run()
    account.announces(updated)
    account.holds(settled)
    await payments.take(updated)
    assert (await payments.payment())["fee"] is None

    await parts.reconciler.run()

    told = [(event["sequence"], event["data"]["fee"]) for event in await payments.published()]
    assert told == [(1, None), (2, 121)]
    before = await everything(payments)
    await parts.reconciler.run()
    assert await everything(payments) == before


async def test_a_run_from_later_on_leaves_the_mark_before_what_nobody_looked_at(
    parts: Operations, account: FakeStripe
) -> None:
    account.events.append(paid(1, created=NOW - 2 * 86400))

    await parts.reconciler.run(since=datetime.now(UTC) - timedelta(hours=1))
    report = await parts.reconciler.run()

    assert [each.id for each in report.events] == [paid(1, created=NOW - 2 * 86400)["id"]]


async def test_what_stripe_refuses_to_show_waits_behind_the_others(
    payments: Payments, parts: Operations, account: FakeStripe
) -> None:
    for number in (1, 2):
        await payments.take(
            stripe.event("payment_intent.succeeded", stripe.payment_intent(f"pi_{number}", latest_charge=None)),
            stripe.event(
                "charge.refunded",
                stripe.charge(f"ch_{number}", payment_intent=f"pi_{number}", amount_refunded=2500),
                created=stripe.START + 90,
            ),
        )
    account.faults.append(403)

    assert await parts.fetcher.fetch_due() == 2

    open_requests = await payments.rows("SELECT object_id FROM fetch_request WHERE done_at IS NULL")
    assert [row["object_id"] for row in open_requests] == ["ch_1"]
    assert await parts.fetcher.fetch_due() == 0, "it waits an hour"
