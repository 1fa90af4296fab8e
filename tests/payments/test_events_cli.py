"""``payments events``: what an operator sees of stored events, and what deciding about one does."""

import asyncio
import getpass
from dataclasses import dataclass

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from payments.cli import app
from support import stripe_payloads as stripe
from support.payments import Payments

PAID = stripe.event("payment_intent.succeeded", stripe.payment_intent())
BROKEN = stripe.event("payment_intent.succeeded", stripe.payment_intent("pi_2", currency="pounds"))
FOREIGN = {**stripe.event("charge.succeeded", stripe.charge("ch_9")), "livemode": True}


@dataclass
class Operator:
    """Types commands with the environment of the service."""

    environment: dict[str, str]

    async def types(self, *words: str, code: int = 0) -> str:
        arguments = ("events", *words)
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=self.environment, color=False)
        assert result.exit_code == code, result.output
        return result.output


@pytest.fixture
async def operator(payments: Payments) -> Operator:
    await payments.take(PAID, BROKEN, FOREIGN)
    url = payments.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return Operator(
        {
            "PAYMENTS_DATABASE_URL": url,
            "PAYMENTS_STRIPE_WEBHOOK_SECRETS": stripe.SECRET,
            "AMQP_URL": "amqp://unused",
            "COLUMNS": "300",
        }
    )


async def test_events_are_listed_by_state(operator: Operator) -> None:
    everything = await operator.types("list")
    assert all(event["id"] in everything for event in (PAID, BROKEN, FOREIGN))

    failed = await operator.types("list", "--failed")
    assert BROKEN["id"] in failed
    assert PAID["id"] not in failed
    assert FOREIGN["id"] in await operator.types("list", "--state", "quarantined")


async def test_event_is_shown_with_content_deliveries_and_decisions(operator: Operator) -> None:
    await operator.types("retry", BROKEN["id"])
    shown = await operator.types("show", BROKEN["id"])
    for told in ("currency is no ISO code", '"currency": "pounds"', "sha256: ", "action: retry"):
        assert told in shown
    assert f"decided_by: {getpass.getuser()}" in shown


async def test_ignored_event_is_not_tried_again_and_says_who_and_why(operator: Operator, payments: Payments) -> None:
    await operator.types("ignore", BROKEN["id"], "--reason", "a test of ours")
    assert await payments.rows("SELECT id FROM stripe_event WHERE next_attempt_at IS NOT NULL") == []

    (decision,) = await payments.rows("SELECT event_id, action, reason, decided_by FROM stripe_event_decision")
    assert decision == {
        "event_id": BROKEN["id"],
        "action": "ignore",
        "reason": "a test of ours",
        "decided_by": getpass.getuser(),
    }


async def test_ignored_event_can_be_taken_up_again(operator: Operator, payments: Payments) -> None:
    await operator.types("ignore", BROKEN["id"], "--reason", "too early")
    await operator.types("retry", BROKEN["id"])
    await payments.process()
    (event,) = await payments.rows("SELECT state, attempts FROM stripe_event WHERE id = :id", id=BROKEN["id"])
    assert event == {"state": "failed", "attempts": 1}


ALSO_BROKEN = stripe.event("charge.succeeded", stripe.charge("ch_2", currency="pounds"))


async def due(payments: Payments) -> list[str]:
    rows = await payments.rows("SELECT id FROM stripe_event WHERE next_attempt_at <= now() ORDER BY id")
    return [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], [BROKEN, ALSO_BROKEN]),
        (["--type", "charge.succeeded"], [ALSO_BROKEN]),
        (["--state", "quarantined"], [FOREIGN]),
        (["--state", "quarantined", "--type", "payment_intent.succeeded"], []),
    ],
)
async def test_all_of_a_state_and_type_are_retried_at_once(
    operator: Operator, payments: Payments, filters: list[str], expected: list[stripe.Json]
) -> None:
    await payments.take(ALSO_BROKEN)
    async with payments.engine.begin() as connection:
        await connection.execute(text("UPDATE stripe_event SET next_attempt_at = NULL"))

    assert f"{len(expected)} due again" in await operator.types("retry", "--all", *filters)
    ids = sorted(event["id"] for event in expected)
    assert await due(payments) == ids
    decided = await payments.rows("SELECT event_id, action, decided_by FROM stripe_event_decision ORDER BY event_id")
    assert decided == [{"event_id": id_, "action": "retry", "decided_by": getpass.getuser()} for id_ in ids]


async def test_retrying_wants_one_event_or_all(operator: Operator) -> None:
    for words in ([], [BROKEN["id"], "--all"], [BROKEN["id"], "--state", "failed"], ["--all", "--state", "processed"]):
        await operator.types("retry", *words, code=2)


async def test_event_that_took_effect_is_neither_retried_nor_ignored(operator: Operator, payments: Payments) -> None:
    await operator.types("retry", PAID["id"], code=1)
    await operator.types("ignore", PAID["id"], "--reason", "no", code=1)
    assert await payments.rows("SELECT 1 FROM stripe_event_decision") == []
    assert len(await payments.published()) == 1


async def test_ignoring_needs_a_reason(operator: Operator) -> None:
    assert "--reason" in await operator.types("ignore", BROKEN["id"], code=2)


async def test_unknown_event_is_said_to_be_unknown(operator: Operator) -> None:
    for command in (["show", "evt_none"], ["retry", "evt_none"], ["ignore", "evt_none", "--reason", "x"]):
        assert "evt_none" in await operator.types(*command, code=1)
