"""Letters about erased people are emptied, whatever is left of them to read; what Stripe's events mention of whom."""

from typing import Any

import pytest

from payments.domain.redaction import mentioned
from payments.service.erase_users import redact
from support.events import booking, erased, linked, merged
from support.letters import cut_off, kept, set_aside
from support.payments import Payments


async def test_letters_about_erased_people_and_their_bookings_go(payments: Payments) -> None:
    engine = payments.engine
    await payments.learn(booking("b1"), linked("b1", "u1"), booking("b2"), linked("b2", "u2"))
    u1s = [(booking("b1", 2).encode(), "b1"), (merged("u1", "u3").encode(), "u1"), (cut_off(booking("b1", 2)), None)]
    for body, subject in [*u1s, (cut_off(linked("b7", "u1")), None)]:
        await set_aside(engine, body, subject=subject)
    others = {
        await set_aside(engine, booking("b2", 2).encode(), subject="b2"),
        await set_aside(engine, cut_off(booking("b2", 2))),
        await set_aside(engine, b"b1 or u1, it says"),
    }

    await payments.learn(erased("u1"))
    await redact(engine)
    assert await kept(engine) == others


def told(**item: Any) -> dict[str, Any]:
    return {"data": {"object": item}}


@pytest.mark.parametrize(
    ("envelope", "ids"),
    [
        (told(id="ch_1", customer="cus_1", payment_intent="pi_1"), ["ch_1", "cus_1", "pi_1"]),
        (told(id="re_1", charge={"id": "ch_1", "object": "charge"}), ["ch_1", "re_1"]),
        (told(id="pi_1", latest_charge="ch_1", customer=None), ["ch_1", "pi_1"]),
        (told(id="cus_1", customer="cus_1"), ["cus_1"]),
        (told(id="in_1", subscription="sub_1", receipt_email="ann@example.com"), ["in_1"]),
        (told(id=7, customer={"name": "Ann"}, charge=["ch_1"], payment_intent=""), []),
        (told(id="x" * 201, customer="caf\u00e9", charge="a\x00b"), []),
        (told(id="x" * 200), ["x" * 200]),
        ({}, []),
        ({"data": None}, []),
        ({"data": {"object": "ch_1"}}, []),
    ],
)
def test_an_event_is_about_its_object_and_whose_it_says_that_is(envelope: dict[str, Any], ids: list[str]) -> None:
    assert mentioned(envelope) == ids
