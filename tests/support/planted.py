"""Somebody of whom every service knows everything there can be, to be looked for once they are erased."""

import json
from typing import Any

from support import stripe_payloads as stripe
from support.events import booking
from support.letters import cut_off
from support.office import Office
from support.system import System
from support.traces import traces
from support.waiting import eventually

EMAIL = "Quilla.Zabriskie@example.com"
CONTACT = {
    "firstName": "Quilla",
    "lastName": "Zabriskie",
    "email": EMAIL,
    "phone": "07700 900987",
    "company": "Vorpal Looms",
}
PARTICIPANTS = [{"name": "Tobiah Wexcombe", "medicalNotes": "anaphylaxis-9931"}]
PERSONAL = [
    *("quilla", "zabriskie", "07700 900987", "7700900987", "789009007", "vorpal", "tobiah", "wexcombe"),
    *("anaphylaxis-9931", "corrected-surname", "typed-note", "typed-mail", "typed-reason", "typed-reference"),
    "late-surname",
]


async def plant(whole: System, office: Office) -> tuple[str, list[str]]:
    """Let somebody book, pay, be written about and fail at every door; return the user and the bookings."""
    first = await office.book(CONTACT, "67.50", participants=PARTICIPANTS)
    (row,) = await whole.query(
        "bookings-gateway",
        """
        INSERT INTO bookings (id, "bookingReference", status, "contactDetails", participants, "invoiceDetails",
                              "finalAmount", "createdAt", "updatedAt")
        VALUES (gen_random_uuid(), 'ERASE-SQL', 'COMPLETED', CAST($1 AS jsonb), CAST($2 AS jsonb), CAST($1 AS jsonb),
                40, now() - interval '1 day', now()) RETURNING id::text
        """,
        json.dumps(CONTACT),
        json.dumps(PARTICIPANTS),
    )
    bookings = [first, row["id"]]
    user_id = await office.user_of(first)
    billing = {"email": EMAIL, "name": "Quilla Zabriskie", "phone": CONTACT["phone"], "address": None}
    person: dict[str, Any] = {"customer": "cus_77", "receipt_email": EMAIL, "description": "For Quilla Zabriskie"}
    await office.pay(first, 6750, "pi_erase", **person)
    charge = stripe.charge("ch_pi_erase", payment_intent="pi_erase", billing_details=billing, **person)
    customer = {"id": "cus_77", "object": "customer", "email": EMAIL, "name": "Quilla Zabriskie"}
    for event in (
        stripe.event("charge.succeeded", charge),
        stripe.event("customer.updated", customer),
        stripe.event("payment_intent.attached", stripe.payment_intent("pi_erase", receipt_email=EMAIL)),
        stripe.event("charge.updated", {**charge, "livemode": True}, livemode=True),
        stripe.event("charge.updated", {**charge, "status": "unheard of"}),
    ):
        await whole.send_webhook(office.http, event)
    # Paid with nothing that names a booking.
    unmatched = stripe.payment_intent("pi_unmatched", metadata={}, billing_details=billing, receipt_email=EMAIL)
    await whole.send_webhook(office.http, stripe.event("payment_intent.succeeded", unmatched))
    manual = {"method": "cash", "amount": "5.00", "currency": "GBP", "paidAt": "2026-03-01T10:00:00.000Z"}
    order = {**manual, "booking": row["id"], "reference": "typed-reference"}
    await office.post("/payments/manual", order, status=201, key="erase-manual")
    await office.post(f"/users/{user_id}/notes", {"text": "typed-note of Quilla"}, status=201)
    mail = {"channel": "email", "direction": "inbound", "subject": "typed-mail", "body": "Zabriskie"}
    await office.post(f"/users/{user_id}/communications", mail, status=201)
    await office.settled()
    bystander = await office.user_of(await office.book({"email": "bystander@else.example"}, "1.00"))
    await office.post(f"/users/{user_id}/merge", {"into": bystander, "reason": "typed-reason"})
    await office.post(f"/users/{user_id}/unmerge", {"reason": "typed-reason"})
    seen = (await office.ask("GET", f"/users/{user_id}")).headers["ETag"]
    body = {"lastName": "Corrected-surname"}
    changed = await office.ask("PATCH", f"/users/{user_id}", json=body, headers={"If-Match": seen})
    assert changed.status_code == 200, changed.text
    await office.ask("PUT", f"/bookings/{first}", json={"status": "ATTENDED"})
    await set_aside(whole, first, user_id)
    await office.settled()
    return user_id, bookings


async def set_aside(whole: System, booking_id: str, user_id: str) -> None:
    """Put a dead letter about the person into every service."""
    (event,) = await whole.query(
        "bookings-gateway",
        "SELECT CAST(body AS text) AS body FROM gateway.event_log WHERE subject = $1 ORDER BY seq LIMIT 1",
        booking_id,
    )
    about_user = json.dumps({"data": {"last_name": "late-surname"}})
    for service in whole.services:
        await _keep_letter(whole, service, booking_id, event["body"])
        if service != "users":  # which hears of no users
            await _keep_letter(whole, service, user_id, about_user)


async def set_aside_late(whole: System, booking_id: str) -> None:
    """A dead letter that was on its way for the minutes of its retries: written before the erasure, kept after it."""
    contact = {"email": EMAIL, "last_name": "late-surname"}
    known = booking(booking_id, 9, contact=contact)
    for service in whole.services:
        await _keep_letter(whole, service, booking_id, known.encode().decode())
        await _keep_letter(whole, service, None, cut_off(known).decode())
    unlinked = booking("unlinked", 9, contact=contact, created_at="2026-01-01T10:00:00Z")
    await _keep_letter(whole, "users", "unlinked", unlinked.encode().decode())


async def _keep_letter(whole: System, service: str, subject: str | None, body: str) -> None:
    schema = "gateway." if service == "bookings-gateway" else ""
    await whole.query(
        service,
        f"""
        INSERT INTO {schema}dead_letter
            (subject, content_type, body, reason, attempts, first_failed_at, last_failed_at)
        VALUES ($1, 'application/cloudevents+json', convert_to($2, 'UTF8'), 'tried', 5, now(), now())
        """,  # noqa: S608
        subject,
        body,
    )


async def nothing_left(whole: System) -> None:
    last: list[set[str]] = []

    async def clean() -> bool:
        last[:] = [await traces(whole, PERSONAL)]
        return not last[0]

    try:
        await eventually(clean, seconds=30, what="nothing of the person anywhere")
    except AssertionError:
        assert last[0] == set()
        raise
