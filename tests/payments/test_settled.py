"""What a walk of Stripe's API reads again: money under way always, what may still change for some time, no more."""

from collections.abc import Sequence
from typing import Any

import pytest

from payments.domain.ordering import Version
from payments.domain.reading import read_object
from payments.domain.settled import ALWAYS, unsettled_since
from payments.domain.versions import Kept
from payments.models import unsettled
from support import stripe_payloads as stripe
from support.payments import Payments
from support.stripe_payloads import START, Json

FEE: dict[str, Any] = {"balance_transaction": stripe.balance_transaction(6750, fee=121)}
KINDS: Sequence[tuple[Json, int | None]] = [
    (stripe.payment_intent(), None),
    (stripe.payment_intent(status="canceled"), None),
    (stripe.payment_intent(status="processing"), ALWAYS),
    (stripe.payment_intent(status="requires_action"), ALWAYS),
    (stripe.payment_intent(status="requires_capture"), ALWAYS),
    (stripe.payment_intent(status="requires_payment_method"), START),
    (stripe.payment_intent(status="requires_confirmation"), START),
    (stripe.charge(**FEE), None),
    (stripe.charge(status="failed"), None),
    (stripe.charge(status="pending"), ALWAYS),
    (stripe.charge(), START + 5),
    (stripe.charge(captured=False, **FEE), START + 5),
    (stripe.refund(), START + 60),
    (stripe.refund(status="failed"), None),
    (stripe.refund(status="canceled"), None),
    (stripe.refund(status="pending"), ALWAYS),
    (stripe.refund(status="requires_action"), ALWAYS),
    (stripe.dispute(), ALWAYS),
    *((stripe.dispute(status=status), None) for status in ("won", "lost", "warning_closed", "prevented")),
    (stripe.checkout_session(), None),
    (stripe.checkout_session(payment_status="unpaid"), START),
    (stripe.checkout_session(payment_status="unpaid", status="open"), ALWAYS),
]


@pytest.mark.parametrize(("raw", "expected"), KINDS, ids=lambda each: str(each)[:60])
def test_what_may_still_change_is_known_from_the_object(raw: Json, expected: int | None) -> None:
    version = Version(read_object(raw, seen=START), START, "evt_1")
    assert unsettled_since(Kept.first(version)) == expected


def test_a_fee_told_by_an_earlier_version_is_known() -> None:
    told, silent = (Version(read_object(raw, seen=START), START, id_) for raw, id_ in (
        (stripe.charge(**FEE), "evt_1"), (stripe.charge(), "evt_2")))  # fmt: skip
    assert unsettled_since(Kept(silent)) == START + 5
    assert unsettled_since(Kept(silent, sources={"fee": told})) is None


async def test_what_is_settled_is_not_read_again(payments: Payments) -> None:
    begun = stripe.payment_intent(status="requires_payment_method")
    refund = stripe.refund(created=START)
    await payments.take(
        stripe.event("payment_intent.created", begun),
        stripe.event("refund.created", refund),
        stripe.event("charge.dispute.created", stripe.dispute()),
    )
    async with payments.engine.connect() as connection:
        assert await unsettled(connection, since=START) == [
            ("dispute", "du_1"),
            ("payment_intent", "pi_1"),
            ("refund", "re_1"),
        ]
        assert await unsettled(connection, since=START + 1) == [("dispute", "du_1")]

    await payments.take(
        stripe.event("payment_intent.succeeded", stripe.payment_intent(), created=START + 60),
        stripe.event("charge.dispute.closed", stripe.dispute(status="won"), created=START + 60),
        stripe.event("refund.failed", {**refund, "status": "failed"}, created=START + 60),
    )
    assert await payments.rows("SELECT id FROM stripe_object WHERE unsettled IS NOT NULL") == []
