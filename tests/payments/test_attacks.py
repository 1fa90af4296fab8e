"""What could stop processing, or make two workers stop each other, does not."""

import asyncio
import json
import sys
from datetime import UTC, datetime

from payments.errors import DeliveryRefused
from payments.service.announce import Cause
from payments.service.erase_users import redact
from payments.service.ledger import Ledger
from payments.service.record_delivery import Delivery
from support import stripe_payloads as stripe
from support.events import booking, erased, linked
from support.ledgers import shown_by
from support.payments import Payments
from support.waiting import eventually

_BLOCKED = """
    SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def deepest() -> Delivery:
    """The deepest event that is just taken."""
    event = json.dumps(stripe.event("charge.succeeded", stripe.charge(deep="@")))
    for depth in range(sys.getrecursionlimit(), 0, -1):
        try:
            return Delivery.of(event.replace('"@"', "[" * depth + "]" * depth).encode(), [])
        except DeliveryRefused:
            continue
    raise AssertionError("unreachable")


async def test_the_deepest_event_that_is_taken_can_be_read_again_further_down_the_stack(payments: Payments) -> None:
    good = stripe.event("payment_intent.succeeded", stripe.payment_intent())
    deep = deepest()
    await payments.recorder.record(deep)
    await payments.take(good)
    states = {row["id"]: row["state"] for row in await payments.rows("SELECT id, state FROM stripe_event")}
    assert states == {deep.event_id: "processed", good["id"]: "processed"}


async def test_delivery_too_deep_to_be_walked_is_redacted_all_the_same(payments: Payments) -> None:
    note: stripe.Json = {"name": "Ann Lee"}
    for _ in range(900):
        note = {"x": note}
    await payments.learn(booking("b1"), linked("b1", "u1"), erased("u1"))
    await payments.take(
        stripe.event("payment_intent.succeeded", stripe.payment_intent(metadata={"bookingId": "b1"}, x=note))
    )
    assert await redact(payments.engine) == 1
    (row,) = await payments.rows("SELECT body FROM stripe_delivery")
    assert b"Ann Lee" not in row["body"]


async def test_charge_and_a_dispute_that_waits_for_it_do_not_deadlock(payments: Payments) -> None:
    """Whoever holds the charge writes the dispute's row too, so the charge is locked first, whatever its id."""
    waiting = stripe.dispute("dp_1", charge="py_1", payment_intent=None)
    await payments.take(stripe.event("charge.dispute.created", waiting))
    charged = shown_by(stripe.event("charge.succeeded", stripe.charge("py_1")))
    disputed = shown_by(stripe.event("charge.dispute.closed", {**waiting, "status": "lost"}, created=stripe.START + 9))

    async def dispute() -> None:
        async with payments.engine.begin() as connection:
            ledger = await Ledger.load(connection, disputed)
            ledger.apply(disputed, Cause(datetime.now(UTC)))
            await ledger.save(connection)

    async with payments.engine.begin() as connection:
        ledger = await Ledger.load(connection, charged)
        other = asyncio.create_task(dispute())

        async def blocked() -> bool:
            return bool(await payments.rows(_BLOCKED))

        await eventually(blocked, what="the other worker waiting")
        ledger.apply(charged, Cause(datetime.now(UTC)))
        await ledger.save(connection)
    await other
    (row,) = await payments.rows("SELECT status, payment_id FROM dispute")
    assert (row["status"], row["payment_id"]) == ("lost", (await payments.payment())["id"])
