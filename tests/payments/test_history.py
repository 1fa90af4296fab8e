"""A payment a historical booking proves and Stripe's own events of it are one, whichever came first."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import httpx
import pytest

from payments.service.match_by_hand import match_by_hand
from payments.service.record_manual_payment import CashDesk, ManualPayment, Method
from shared.events import Event
from support import stripe_payloads as stripe
from support.events import booking, linked
from support.payments import Payments

EVIDENCE = {
    "evidence": "stripe",
    "status": "succeeded",
    "reference": "MIGRATED-REF",
    "stripe_payment_intent_id": "pi_1",
    "method": "card",
    "paid_at": "2024-01-02T10:00:00Z",
    "inferred_fields": ["method"],
}


def imported(sequence: int = 1, *, payment_reference: str | None = "pi_1", **said: Any) -> Event:
    recorded = {**EVIDENCE, **said} if said.get("evidence", "x") is not None else None
    event = booking("b1", sequence, imported=True, payment_reference=payment_reference, recorded_payment=recorded)
    return event.model_copy(update={"type": "booking.created", "dataschema": "urn:bookings:event:booking.created:v1"})


def taken_back(sequence: int = 2) -> Event:
    return booking("b1", sequence, imported=True, deleted=True)


async def test_evidence_becomes_one_payment_with_the_documents_reference(payments: Payments) -> None:
    await payments.learn(imported())
    await payments.learn(imported())

    payment = await payments.payment()
    assert (payment["status"], payment["received"], payment["migrated"]) == ("succeeded", 6750, True)
    assert payment["stripe_payment_intent_id"] == "pi_1"
    assert (payment["provenance"]["reference"], payment["provenance"]["inferred_fields"]) == (
        "MIGRATED-REF",
        ["method"],
    )
    assert payment["booking_id"] == "b1"


@pytest.mark.parametrize("told", [[[0], [0], [1], [1]], [[1], [0], [0]], [[0, 1]], [[1, 0], [0]]])
async def test_payment_of_history_is_told_once_with_its_user(payments: Payments, told: list[list[int]]) -> None:
    """In an import the link always follows: what is told before it would be told again."""
    events = [imported(), linked("b1", "u1")]
    for group in told:
        await payments.learn(*(events[which] for which in group))

    (news,) = await payments.published()
    assert (news["type"], news["sequence"], news["time"].isoformat()) == (
        "payment.succeeded",
        1,
        "2024-01-02T10:00:00+00:00",
    )
    assert (news["data"]["booking_id"], news["data"]["user_id"]) == ("b1", "u1")
    assert (news["data"]["reference"], news["data"]["inferred_fields"]) == ("MIGRATED-REF", ["method"])


async def test_payment_stripe_knows_does_not_wait_for_its_user(payments: Payments) -> None:
    await payments.learn(imported())
    assert await payments.published() == []
    await payments.take(INTENT)
    await payments.learn(linked("b1", "u1"))

    told = [(each["data"]["received"], each["data"]["user_id"]) for each in await payments.published()]
    assert told == [(7000, None), (7000, "u1")]


async def test_payment_taken_back_before_it_was_told_is_never_told(payments: Payments) -> None:
    for event in (imported(), taken_back(), linked("b1", "u1")):
        await payments.learn(event)

    assert await payments.published() == []
    payment = await payments.payment()
    assert (payment["status"], payment["received"], payment["user_id"]) == ("canceled", 0, "u1")


@pytest.mark.parametrize("order", [*permutations(range(4))])
async def test_imported_again_any_order_is_told_as_it_ends(payments: Payments, order: tuple[int, ...]) -> None:
    """Nobody hears that a payment was taken back who had not heard of it."""
    events = [imported(1), taken_back(2), imported(3), linked("b1", "u1")]
    for position in order:
        await payments.learn(events[position])

    payment = await payments.payment()
    assert (payment["status"], payment["received"], payment["user_id"]) == ("succeeded", 6750, "u1")
    news = await payments.published()
    assert [each["sequence"] for each in news] == [*range(1, payment["sequence"] + 1)]
    assert (news[0]["type"], news[-1]["type"]) == ("payment.succeeded", "payment.succeeded")
    assert {each["data"]["user_id"] for each in news} == {"u1"}


async def test_what_a_payment_from_history_rests_on_is_shown(payments: Payments, internal: httpx.AsyncClient) -> None:
    await payments.learn(imported())
    await payments.take(stripe.event("payment_intent.succeeded", stripe.payment_intent("pi_2")))

    shown = {each["stripe_payment_intent_id"]: each for each in (await internal.get("/payments")).json()["data"]}
    proved, other = shown["pi_1"], shown["pi_2"]
    assert (proved["reference"], proved["evidence"]) == ("MIGRATED-REF", EVIDENCE["evidence"])
    assert proved["inferred_fields"] == ["method"]
    assert (other["reference"], other["evidence"], other["inferred_fields"]) == (None, None, [])


async def in_order(payments: Payments, order: tuple[int, ...], told: stripe.Json) -> None:
    """Let the import and Stripe speak, one before the other."""
    for who in order:
        await (payments.take(told) if who else payments.learn(imported()))


INTENT = stripe.event("payment_intent.succeeded", stripe.payment_intent("pi_1", amount=7000, amount_received=7000))
REFUND = stripe.event(
    "refund.created",
    stripe.refund("re_1", charge="ch_1", payment_intent="pi_1", amount=2000),
    created=stripe.START + 60,
)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_stripes_own_facts_replace_the_inferred_ones(payments: Payments, order: tuple[int, ...]) -> None:
    await in_order(payments, order, INTENT)

    payment = await payments.payment()
    assert (payment["received"], payment["migrated"], payment["booking_id"]) == (7000, True, "b1")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_an_imported_payment_is_refunded_by_stripes_later_refund(
    payments: Payments, order: tuple[int, ...]
) -> None:
    await in_order(payments, order, REFUND)

    payment = await payments.payment()
    assert (payment["status"], payment["received"], payment["refunded"]) == ("succeeded", 6750, 2000)


@pytest.mark.parametrize("order", [*permutations(range(3))])
async def test_taken_back_and_told_again_any_order_ends_the_same(payments: Payments, order: tuple[int, ...]) -> None:
    events = [imported(1), taken_back(2), imported(3)]
    for position in order:
        await payments.learn(events[position])

    payment = await payments.payment()
    assert (payment["status"], payment["received"]) == ("succeeded", 6750)


async def test_taken_back_a_payment_only_the_row_proved_is_none(payments: Payments) -> None:
    await payments.learn(imported(), taken_back())

    assert await payments.rows("SELECT * FROM payment WHERE status = 'succeeded'") == []


async def test_taken_back_a_payment_stripe_knows_stands(payments: Payments) -> None:
    await payments.learn(imported())
    await payments.take(INTENT)
    await payments.learn(taken_back())

    payment = await payments.payment()
    assert (payment["status"], payment["received"]) == ("succeeded", 7000)


UNNAMED = stripe.event(
    "payment_intent.succeeded",
    stripe.payment_intent("pi_1", amount=7000, amount_received=7000, metadata={"bookingId": "b2"}),
)


@pytest.mark.parametrize("order", [*permutations(range(3))])
async def test_taken_back_leaves_the_booking_stripe_names_in_any_order(
    payments: Payments, order: tuple[int, ...]
) -> None:
    await payments.learn(booking("b2"), linked("b2", "u2"))
    for what in order:
        await (payments.take(UNNAMED) if what == 0 else payments.learn(imported() if what == 1 else taken_back()))

    payment = await payments.payment()
    assert (payment["status"], payment["booking_id"], payment["user_id"]) == ("succeeded", "b2", "u2")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_booking_the_evidence_names_is_known_to_either_path(payments: Payments, order: tuple[int, ...]) -> None:
    await payments.learn(linked("b1", "u1"))
    for who in order:
        await (payments.take(INTENT) if who else payments.learn(imported(payment_reference=None)))

    payment = await payments.payment()
    assert (payment["booking_id"], payment["user_id"]) == ("b1", "u1")


async def test_match_by_hand_keeps_its_user_through_an_import(payments: Payments) -> None:
    await payments.learn(booking("b2"), linked("b2", "u2"))
    await payments.take(INTENT)
    id_ = (await payments.payment())["id"]
    await match_by_hand(payments.engine, "/payments", id_, booking="b2", by="ann")

    for news in (imported(), taken_back()):
        await payments.learn(news)
        payment = await payments.payment()
        assert (payment["booking_id"], payment["user_id"]) == ("b2", "u2")


@pytest.mark.parametrize("named_before", [False, True])
async def test_import_of_what_stripe_told_first_is_told_as_migrated(payments: Payments, *, named_before: bool) -> None:
    """Whoever hears of the booking's payment hears that it is history; only so no historical row is marked paid."""
    await payments.take(INTENT)
    if named_before:
        await payments.learn(booking("b1", 1))
    await payments.learn(imported(2 if named_before else 1, payment_reference="pi_1"))

    news = [each["data"] for each in await payments.published()]
    assert [(each["booking_id"], each["migrated"]) for each in news] == [(None, False), ("b1", True)]
    assert (news[-1]["reference"], news[-1]["received"]) == ("MIGRATED-REF", 7000)
    assert [each["sequence"] for each in await payments.published()] == [1, 2]


async def test_payment_already_of_its_booking_is_told_again_as_migrated(payments: Payments) -> None:
    await payments.learn(booking("b1", 1, payment_reference="pi_1"))
    await payments.take(INTENT)
    for _ in range(2):
        await payments.learn(imported(2))

    news = await payments.published()
    assert [each["data"]["migrated"] for each in news] == [False, True]
    assert {each["type"] for each in news} == {"payment.succeeded"}
    assert news[1]["time"] == news[0]["time"]


CASH = {"evidence": "recorded", "stripe_payment_intent_id": None, "method": "cash", "payment_reference": None}


async def test_cash_of_the_past_is_canceled_and_stays_so(payments: Payments, internal: httpx.AsyncClient) -> None:
    await payments.learn(imported(1, **CASH), linked("b1", "u1"))
    id_ = (await payments.payment())["id"]

    refund = {"amount": "20.00", "requested_by": "ann"}
    refused = await internal.post(f"/payments/{id_}/refunds", json=refund, headers={"Idempotency-Key": "click-0001"})
    assert (refused.status_code, "cancel it instead" in refused.json()["detail"]) == (409, True)

    for _ in range(2):
        answer = await internal.post(f"/payments/{id_}/cancel", json={"canceled_by": "bob", "reason": "given back"})
        assert (answer.status_code, answer.json()["payment"]["status"]) == (200, "canceled")
    (canceled,) = (each["facts"] for each in answer.json()["timeline"] if each["kind"] == "canceled")
    assert canceled == {"canceled_by": "bob", "reason": "given back"}

    await payments.learn(imported(2, **CASH))
    payment = await payments.payment()
    assert (payment["status"], payment["received"]) == ("canceled", 0)
    assert [each["type"] for each in await payments.published()] == ["payment.succeeded", "payment.canceled"]


async def test_canceled_before_its_user_was_known_is_told_as_canceled(
    payments: Payments, internal: httpx.AsyncClient
) -> None:
    await payments.learn(imported(1, **CASH))
    id_ = (await payments.payment())["id"]
    await internal.post(f"/payments/{id_}/cancel", json={"canceled_by": "bob", "reason": "given back"})
    await payments.learn(linked("b1", "u1"))

    news = await payments.published()
    assert [(each["type"], each["data"]["user_id"]) for each in news] == [
        ("payment.canceled", None),
        ("payment.canceled", "u1"),
    ]


async def test_migrated_payment_of_stripes_is_refunded_not_canceled(
    payments: Payments, internal: httpx.AsyncClient
) -> None:
    await payments.learn(imported())
    id_ = (await payments.payment())["id"]

    assert (await internal.post(f"/payments/{id_}/cancel", json={"canceled_by": "bob"})).status_code == 409


RECORDED: dict[str, Any] = {"evidence": "recorded", "stripe_payment_intent_id": None, "payment_reference": None}
LINK = linked("b1", "u1")
STANDING = """
    SELECT status, received, booking_id, user_id, migrated FROM payment WHERE currency IS NOT NULL ORDER BY migrated
"""


def by_stripe(pence: int, intent: str = "pi_9") -> stripe.Json:
    paid = stripe.payment_intent(intent, amount=pence, amount_received=pence, metadata={"bookingId": "b1"})
    return stripe.event("payment_intent.succeeded", paid)


async def tell(payments: Payments, what: Event | stripe.Json) -> None:
    await (payments.learn(what) if isinstance(what, Event) else payments.take(what))


@pytest.mark.parametrize("order", [*permutations(range(3))])
async def test_money_stripe_tells_of_is_not_counted_again_by_what_the_row_proves(
    payments: Payments, order: tuple[int, ...]
) -> None:
    said: list[Event | stripe.Json] = [imported(**RECORDED), by_stripe(6750), LINK]
    for position in order:
        await tell(payments, said[position])

    assert [tuple(row.values()) for row in await payments.rows(STANDING)] == [
        ("succeeded", 6750, "b1", "u1", False),
        ("canceled", 0, "b1", "u1", True),
    ]
    newest = {news["subject"]: news["data"] for news in await payments.published()}
    assert sorted((data["status"], data["received"]) for data in newest.values()) == [
        ("canceled", 0),
        ("succeeded", 6750),
    ]


@pytest.mark.parametrize("order", [*permutations(range(3))])
async def test_another_amount_by_stripe_stands_beside_what_the_row_proves(
    payments: Payments, order: tuple[int, ...]
) -> None:
    said: list[Event | stripe.Json] = [imported(**RECORDED), by_stripe(100), LINK]
    for position in order:
        await tell(payments, said[position])

    assert [(row["status"], row["received"]) for row in await payments.rows(STANDING)] == [
        ("succeeded", 100),
        ("succeeded", 6750),
    ]


@pytest.mark.parametrize("is_first", [True, False])
async def test_what_the_row_proves_stands_again_when_the_payment_by_hand_is_canceled(
    payments: Payments, *, is_first: bool
) -> None:
    desk = CashDesk(payments.engine, "/payments")
    cash = ManualPayment(
        method=Method.CASH,
        amount=Decimal("67.50"),
        currency="GBP",
        paid_at=datetime.now(UTC),
        booking="b1",
        reference=None,
        recorded_by="ann",
    )
    await payments.learn(LINK, *([] if is_first else [imported(**RECORDED)]))
    id_, _ = await desk.record(cash, key="k")
    await payments.learn(booking("b1"), imported(**RECORDED))
    assert [row["status"] for row in await payments.rows(STANDING)] == ["succeeded", "canceled"]

    await desk.cancel(id_, by="ann", reason="a typing error")

    assert [row["status"] for row in await payments.rows(STANDING)] == ["canceled", "succeeded"]


async def test_what_the_row_proves_stands_again_when_the_payment_turns_out_to_be_anothers(payments: Payments) -> None:
    await payments.learn(LINK, booking("b2"), imported(**RECORDED))
    await payments.take(by_stripe(6750))
    (paid,) = await payments.rows("SELECT id FROM payment WHERE NOT migrated")

    await match_by_hand(payments.engine, "/payments", paid["id"], booking="b2", by="ann")
    assert [row["status"] for row in await payments.rows(STANDING)] == ["succeeded", "succeeded"]

    await match_by_hand(payments.engine, "/payments", paid["id"], booking="b1", by="ann")
    assert [row["status"] for row in await payments.rows(STANDING)] == ["succeeded", "canceled"]


async def test_what_two_payments_paid_is_proved_by_none_of_them_twice(payments: Payments) -> None:
    await payments.learn(LINK, imported(**RECORDED))
    await payments.take(by_stripe(6750), by_stripe(6750, "pi_10"))

    assert [row["status"] for row in await payments.rows(STANDING)] == ["succeeded", "succeeded", "canceled"]
