"""Money given back and money recorded by hand."""

from typing import Any

from support import stripe_payloads as stripe
from support.fake_stripe import FakeStripe
from support.office import Office
from support.waiting import eventually


async def test_refunds_and_payments_by_hand_are_made_once_and_told_in_the_timeline(
    office: Office, account: FakeStripe
) -> None:
    booking_id = await office.book({"firstName": "Rhea", "email": "rhea@refund.example"}, "67.50")
    account.holds(stripe.charge("ch_pi_refund", payment_intent="pi_refund"))
    await office.pay(booking_id, 6750, "pi_refund")
    await office.settled()
    user_id = await office.user_of(booking_id)
    (paid,) = (await office.get(f"/users/{user_id}/payments"))["data"]

    path, order = f"/payments/{paid['id']}/refund", {"amount": "20.00"}
    account.faults.append(500)
    pending = await office.post(path, order, status=202, key="refund-one")
    made = await office.whole.query("payments", "SELECT count(*) AS n FROM refund_request")
    assert (pending["state"], made[0]["n"]) == ("pending", 1)

    async def accepted() -> Any:
        answer = await office.ask("POST", path, json=order, headers={"Idempotency-Key": "refund-one"})
        return answer.json() if answer.status_code == 200 else None

    again = await eventually(accepted, seconds=30, what="the refund taken by Stripe")
    assert (again["id"], again["state"]) == (pending["id"], "accepted")
    assert len(account.made) == 1
    more = await office.ask("POST", path, json={"amount": "60.00"}, headers={"Idempotency-Key": "refund-two"})
    assert more.status_code in {409, 422}, more.text
    for event in account.events:
        await office.whole.send_webhook(office.http, event)

    manual = {"method": "cash", "amount": "5.00", "currency": "GBP", "paidAt": "2026-03-01T10:00:00.000Z"}
    by_hand = await office.post("/payments/manual", {**manual, "booking": booking_id}, status=201, key="manual-one")
    repeated = await office.post("/payments/manual", {**manual, "booking": booking_id}, status=200, key="manual-one")
    assert repeated["id"] == by_hand["id"]
    await office.settled()

    async def told() -> bool:
        detail = await office.get(f"/users/{user_id}")
        return [detail["totalPaid"], detail["totalRefunded"]] == ["72.50", "20.00"]

    await eventually(told, what="both in the totals")
    timeline = (await office.get(f"/payments/{paid['id']}"))["timeline"]
    assert {"delivery", "change", "refund", "refund_request"} <= {item["kind"] for item in timeline}
    kinds = [line["kind"] for line in (await office.get(f"/users/{user_id}/activity"))["data"]]
    assert {"booking.created", "payment.succeeded", "payment.refunded"} <= set(kinds)
