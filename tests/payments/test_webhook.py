"""What the webhook takes, what it refuses, and what it keeps."""

import asyncio
import hashlib
import json
from typing import Any

import httpx
import pytest

from support import stripe_payloads as stripe
from support.payments import Payments
from support.stripe_payloads import Signed, sign

PATH = "/api/webhooks/stripe"
PAID = stripe.event("payment_intent.succeeded", stripe.payment_intent())


async def post(client: httpx.AsyncClient, signed: Signed) -> httpx.Response:
    return await client.post(PATH, content=signed.body, headers=signed.headers)


async def stored(payments: Payments) -> int:
    return len(await payments.rows("SELECT id FROM stripe_delivery"))


async def test_signed_delivery_is_kept_byte_for_byte_before_the_answer(
    stripe_client: httpx.AsyncClient, payments: Payments
) -> None:
    body = json.dumps(PAID).replace("gbp", "gbp\\u0000\\ud800").encode()
    signed = sign(body)

    assert (await post(stripe_client, signed)).status_code == 200

    (delivery,) = await payments.rows("SELECT event_id, body, sha256, headers FROM stripe_delivery")
    assert (delivery["event_id"], delivery["body"]) == (PAID["id"], body)
    assert delivery["sha256"] == hashlib.sha256(body).digest()
    assert ["stripe-signature", signed.signature] in delivery["headers"]


@pytest.mark.parametrize("secret", [stripe.SECRET, "whsec_older"])
async def test_either_secret_passes_while_rotating(stripe_client: httpx.AsyncClient, secret: str) -> None:
    assert (await post(stripe_client, sign(PAID, secret=secret))).status_code == 200


async def test_any_of_several_signatures_passes(stripe_client: httpx.AsyncClient) -> None:
    good = sign(PAID)
    stamp, value = good.signature.split(",")
    header = f"{stamp},{value},v1={'0' * 64},v0={'1' * 64}"
    assert (await post(stripe_client, Signed(good.body, header))).status_code == 200


def refused() -> dict[str, tuple[Signed, int, str]]:
    """Deliveries that are none of ours, signed now: a signature ages while other tests run."""
    good = sign(PAID)
    return {
        "no signature": (Signed(good.body, ""), 400, "signature"),
        "another secret": (sign(PAID, secret="whsec_other"), 400, "signature"),
        "another body": (Signed(good.body + b" ", good.signature), 400, "signature"),
        "no time": (Signed(good.body, good.signature.split(",")[1]), 400, "signature"),
        "letters as time": (Signed(good.body, "t=now,v1=abc"), 400, "signature"),
        "only v0": (Signed(good.body, good.signature.replace("v1", "v0")), 400, "signature"),
        "too old": (sign(PAID, age=3600), 400, "timestamp"),
        "from the future": (sign(PAID, age=-3600), 400, "timestamp"),
        "not UTF-8": (Signed(b"\xff\xfe", good.signature), 400, "encoding"),
        "not JSON": (sign(b"{'id': 1}"), 400, "malformed"),
        "NaN": (sign(b'{"id": "evt_1", "type": "x", "n": NaN}'), 400, "malformed"),
        "no object": (sign(b'["evt_1"]'), 400, "malformed"),
        "too deep": (sign(b"[" * 100_000), 400, "malformed"),
        "no id": (sign({"type": "charge.refunded"}), 400, "malformed"),
        "an id no column takes": (sign({"id": "evt_\0", "type": "charge.refunded"}), 400, "malformed"),
        "a type that is no text": (sign({"id": "evt_1", "type": 7}), 400, "malformed"),
        "empty": (sign(b""), 400, "malformed"),
        "two mebibytes": (sign(b" " * (2 * 1024 * 1024)), 413, "too_large"),
        "over a mebibyte": (sign(b" " * (1024 * 1024 + 1)), 413, "too_large"),
    }


@pytest.mark.parametrize("case", list(refused()))
async def test_what_is_not_stripes_is_refused_with_a_reason(
    stripe_client: httpx.AsyncClient, payments: Payments, case: str
) -> None:
    signed, status, reason = refused()[case]
    answer = await post(stripe_client, signed)

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.headers["content-type"] == "application/problem+json"
    assert await stored(payments) == 0


@pytest.mark.parametrize(
    "event",
    [
        {**PAID, "type": "customer.created"},
        {**PAID, "account": "acct_other"},
        {**PAID, "livemode": True},
        {"id": "evt_thin", "object": "v2.core.event", "type": "v2.core.x", "created": "2026-01-01T00:00:00Z"},
    ],
    ids=["unknown type", "foreign account", "other mode", "thin"],
)
async def test_what_is_not_applied_is_taken_all_the_same(
    stripe_client: httpx.AsyncClient, payments: Payments, event: stripe.Json
) -> None:
    assert (await post(stripe_client, sign(event))).status_code == 200
    await payments.process()
    assert await stored(payments) == 1
    assert await payments.rows("SELECT 1 FROM payment") == []


async def test_of_a_repeated_signature_header_the_first_counts(stripe_client: httpx.AsyncClient) -> None:
    signed = sign(PAID)
    good, bad = signed.signature, signed.signature.replace("v1=", "v1=0")
    for first, second, status in ((good, bad, 200), (bad, good, 400)):
        headers = [("Stripe-Signature", first), ("Stripe-Signature", second)]
        answer = await stripe_client.post(PATH, content=signed.body, headers=headers)
        assert answer.status_code == status


async def test_non_ascii_signature_is_refused_not_a_crash(stripe_client: httpx.AsyncClient) -> None:
    good = sign(PAID)
    headers = {b"stripe-signature": good.signature.split(",")[0].encode() + b",v1=\xe9"}
    answer = await stripe_client.post(PATH, content=good.body, headers=headers)
    assert answer.status_code == 400


async def test_mebibyte_itself_is_taken(stripe_client: httpx.AsyncClient) -> None:
    body = json.dumps(PAID).encode()
    assert (await post(stripe_client, sign(body + b" " * (1024 * 1024 - len(body))))).status_code == 200


async def test_redelivered_webhook_is_one_event_with_two_deliveries(
    stripe_client: httpx.AsyncClient, payments: Payments
) -> None:
    again = {**PAID, "pending_webhooks": 0}
    assert (await post(stripe_client, sign(PAID))).status_code == 200
    await payments.process()
    assert (await post(stripe_client, sign(again))).status_code == 200
    await payments.process()

    assert await stored(payments) == 2
    (event,) = await payments.rows("SELECT id, state FROM stripe_event")
    assert event == {"id": PAID["id"], "state": "processed"}
    assert [each["type"] for each in await payments.published()] == ["payment.succeeded"]


async def test_burst_is_stored_whole(stripe_client: httpx.AsyncClient, payments: Payments) -> None:
    events = [stripe.event("charge.updated", stripe.charge(f"ch_{number}")) for number in range(300)]

    answers = await asyncio.gather(*(post(stripe_client, sign(each)) for each in events))

    assert {answer.status_code for answer in answers} == {200}
    assert await stored(payments) == 300


async def test_nobody_is_told_stored_while_the_database_refuses(
    stripe_client: httpx.AsyncClient, payments: Payments
) -> None:
    async with payments.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE stripe_delivery RENAME TO elsewhere")
    answers = await asyncio.gather(*(post(stripe_client, sign(PAID)) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {503}

    async with payments.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO stripe_delivery")
    assert (await post(stripe_client, sign(PAID))).status_code == 200
    assert await stored(payments) == 1


async def test_route_is_documented(stripe_client: httpx.AsyncClient) -> None:
    documented: dict[str, Any] = (await stripe_client.get("/openapi.json")).json()
    assert set(documented["paths"][PATH]["post"]["responses"]) == {"200", "400", "413", "503"}
