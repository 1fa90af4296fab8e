"""One user with all parts: what the read model has always answers; a service that is away costs its part alone."""

from typing import Any

import pytest

from bookings_gateway.access.audit import REDACTED
from bookings_gateway.remote import Part
from support.admin import Admin, person, totals, user_id
from support.events import booking, linked, merged, payment
from support.legacy_table import execute, fetch

ANN, BOB = user_id("Ann Lee"), user_id("Bob Orr")
PAYMENT = "00000000-0000-4000-8000-0000000000f1"
MEDICAL: dict[str, Any] = {
    "medical_notes": "peanuts",
    "participants": [{"firstName": "Cy", "dateOfBirth": "2011-01-01"}],
}


@pytest.fixture
async def ann(admin: Admin) -> Admin:
    """Ann with two bookings, one of which is paid."""
    await admin.heard(person("Ann Lee"), totals("Ann Lee", bookings=2, spent="135.00"))
    await admin.heard(*(booking(id_, **MEDICAL) for id_ in ("b1", "b2")), *(linked(id_, ANN) for id_ in ("b1", "b2")))
    await admin.heard(payment(PAYMENT, "b1", refunded=1000))
    return admin


async def test_a_user_comes_with_the_newest_of_all_parts(ann: Admin) -> None:
    user = await ann.get(f"/users/{ANN}")

    assert user["unavailable"] == []
    assert user["totals"] == [
        {
            "currency": "GBP",
            "totalSpent": "135.00",
            "totalPaid": "135.00",
            "totalRefunded": "0.00",
            "totalDisputed": "0.00",
            "netPaid": "0.00",
        }
    ]
    parts = user["parts"]
    assert (parts["totalBookings"], parts["totalPayments"]) == (2, 1)
    assert {each["id"]: each["paymentStatus"] for each in parts["bookings"]} == {
        "b1": "partially_refunded",
        "b2": "unpaid",
    }
    assert [(each["amount"], each["net"]) for each in parts["payments"]] == [("67.50", "57.50")]
    assert parts["activity"][0]["kind"] == "booking.created"


async def test_nothing_of_participants_leaves(ann: Admin) -> None:
    for path in (f"/users/{ANN}", f"/users/{ANN}/bookings", "/search?q=ann", "/payments", f"/payments/{PAYMENT}"):
        response = await ann.client.get(f"/api/admin{path}")
        assert response.status_code == 200
        assert "peanuts" not in response.text
        assert "2011" not in response.text


@pytest.mark.parametrize(
    ("part", "paths", "missing"),
    [
        (Part.USERS, ["notes", "communications"], ["identity", "notes", "communications"]),
        (Part.STATS, ["activity"], ["activity"]),
    ],
)
async def test_a_service_that_is_away_costs_its_part_alone(
    ann: Admin, part: Part, paths: list[str], missing: list[str]
) -> None:
    ann.services.away.add(part)

    assert (await ann.get(f"/users/{ANN}"))["unavailable"] == missing
    for path in ("notes", "communications", "activity"):
        response = await ann.client.get(f"/api/admin/users/{ANN}/{path}")
        assert response.status_code == (503 if path in paths else 200)
    if part is Part.USERS:
        response = await ann.client.post(f"/api/admin/users/{ANN}/notes", json={"text": "Hello"})
        assert (response.status_code, response.json()["service"]) == (503, "users")


async def test_with_every_service_away_the_lists_answer_with_their_age(ann: Admin) -> None:
    ann.services.away.update(Part)
    for path in ("/users", f"/users/{ANN}/bookings", f"/users/{ANN}/payments", "/payments", "/search?q=ann"):
        response = await ann.client.get(f"/api/admin{path}")
        assert response.status_code == 200
        age = dict(each.split("=") for each in response.headers["X-Read-Model-Heard"].split(", "))
        assert set(age) == {"users", "payments", "stats"}
        assert all(heard.endswith("Z") for heard in age.values())
    detail = await ann.get(f"/payments/{PAYMENT}")
    assert (detail["timeline"], detail["unavailable"]) == (None, ["timeline"])


async def test_an_answer_nobody_understands_is_a_part_away(ann: Admin) -> None:
    ann.services.answers[f"/users/{ANN}/notes"] = (200, [])

    assert (await ann.client.get(f"/api/admin/users/{ANN}/notes")).status_code == 503
    assert (await ann.get(f"/users/{ANN}"))["unavailable"] == ["notes"]


async def test_a_note_is_written_once_under_the_name_of_its_author(ann: Admin) -> None:
    headers = {"Idempotency-Key": "a-key-of-mine"}
    body = {"kind": "complaint", "text": "Waited.", "internal": False}
    response = await ann.client.post(f"/api/admin/users/{ANN}/notes", json=body, headers=headers)

    assert response.status_code == 201
    assert (await ann.get(f"/users/{ANN}/notes"))["data"] == [response.json()]
    assert ann.services.asked[0] == ("POST", f"/users/{ANN}/notes", {**body, "author": "ann@office"})
    assert ann.services.headers[0]["idempotency-key"] == "a-key-of-mine"
    assert ann.services.headers[0]["traceparent"].startswith("00-")


async def test_a_correction_needs_the_version_it_corrects(ann: Admin) -> None:
    async def correct(**headers: str) -> Any:
        path = f"/api/admin/users/{ANN}"
        return await ann.client.patch(path, json={"firstName": "Anne"}, headers=headers)

    etag = (await ann.client.get(f"/api/admin/users/{ANN}")).headers["ETag"]
    assert (await correct()).status_code == 428
    corrected = await correct(**{"If-Match": etag})
    assert (corrected.status_code, corrected.json()["firstName"]) == (200, "Anne")
    assert ann.services.asked[-1][2] == {"first_name": "Anne", "by": "ann@office"}
    assert (await correct(**{"If-Match": etag})).status_code == 412
    assert (await correct(**{"If-Match": corrected.headers["ETag"]})).status_code == 200


@pytest.mark.parametrize(
    ("decision", "body", "asked"),
    [
        ("merge", {"into": BOB, "reason": "One person"}, {"into": BOB, "reason": "One person"}),
        ("unmerge", {"reason": "Two"}, {"reason": "Two"}),
        ("erase", {"reason": "Asked", "confirm": ANN}, {"reason": "Asked", "confirm": ANN}),
    ],
)
async def test_a_decision_is_asked_of_the_users_service(
    ann: Admin, decision: str, body: dict[str, str], asked: dict[str, str]
) -> None:
    response = await ann.client.post(f"/api/admin/users/{ANN}/{decision}", json=body)

    assert response.status_code == 200
    assert ANN in response.json().get("users", [response.json().get("id")])
    assert ann.services.asked[-1] == ("POST", f"/users/{ANN}/{decision}", {**asked, "by": "ann@office"})


async def test_a_preview_says_what_money_would_come_along(ann: Admin) -> None:
    preview = await ann.get(f"/users/{ANN}/merge-preview", into=BOB)

    assert (preview["into"], preview["moves"]) == (BOB, {"bookings": 2})
    assert preview["totals"][0]["totalSpent"] == "135.00"


async def test_what_another_service_did_is_audited_without_its_words(ann: Admin) -> None:
    await ann.client.post(f"/api/admin/users/{ANN}/notes", json={"text": "A secret of hers"})
    await ann.client.post(f"/api/admin/users/{ANN}/merge", json={"into": BOB, "reason": "A secret"})

    lines = await fetch(ann.engine, "SELECT actor, action, entity, CAST(after AS text) FROM audit ORDER BY id")
    assert [line[:3] for line in lines] == [
        ("ann@office", "note.added", f"user/{ANN}"),
        ("ann@office", "user.merge", f"user/{ANN}"),
    ]
    assert BOB in lines[1][3]
    assert "secret" not in str(lines)


NOTE = ("POST", f"/users/{ANN}/notes", {"text": "Hello"})
REFUND = ("POST", f"/payments/{PAYMENT}/refund", {"amount": "20.00"})
CASH = {"method": "cash", "amount": "5.00", "currency": "GBP", "paidAt": "2026-01-01T00:00:00Z", "booking": "b2"}
ASKED = {
    "note": NOTE,
    "communication": ("POST", f"/users/{ANN}/communications", {"channel": "phone", "direction": "inbound"}),
    "correction": ("PATCH", f"/users/{ANN}", {"firstName": "Anne"}),
    "merge": ("POST", f"/users/{ANN}/merge", {"into": BOB, "reason": "One person"}),
    "unmerge": ("POST", f"/users/{ANN}/unmerge", {"reason": "Two"}),
    "erasure": ("POST", f"/users/{ANN}/erase", {"reason": "Asked", "confirm": ANN}),
    "dismissal": ("POST", "/users/duplicates/dismiss", {"users": [ANN, BOB]}),
    "refund": REFUND,
    "manual payment": ("POST", "/payments/manual", CASH),
}


async def write(admin: Admin, asked: tuple[str, str, Any]) -> int:
    method, path, body = asked
    headers = {"Idempotency-Key": "a-key-of-mine", "If-Match": '"1"'}
    return (await admin.client.request(method, f"/api/admin{path}", json=body, headers=headers)).status_code


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_who_wanted_what_is_known_whatever_became_of_it(ann: Admin, asked: tuple[str, str, Any]) -> None:
    assert await write(ann, asked) in {200, 201, 204}
    ann.services.declines = True
    assert await write(ann, asked) == 409
    ann.services.away.update(Part)
    assert await write(ann, asked) == 503
    ann.services.away.clear()
    ann.services.times_out = True
    assert await write(ann, asked) == 503

    lines = await fetch(ann.engine, "SELECT actor, outcome, action FROM audit ORDER BY id")
    assert [line[:2] for line in lines] == [("ann@office", each) for each in ("done", "refused", "refused", "unknown")]
    assert len({action for _, _, action in lines}) == 1


async def test_what_the_answer_adds_is_in_the_audit(ann: Admin) -> None:
    await write(ann, REFUND)
    await write(ann, ASKED["manual payment"])

    refund, (manual, _) = await fetch(ann.engine, "SELECT entity, after FROM audit ORDER BY id")
    assert refund == (f"payment/{PAYMENT}", {"amount": "20.00", "currency": "GBP", "state": "accepted"})
    assert manual.startswith("payment/")
    assert manual != "payment/new"


async def test_what_was_shown_before_is_in_the_audit_without_anything_of_a_person(ann: Admin) -> None:
    await write(ann, ASKED["correction"])
    await write(ann, ASKED["merge"])
    await ann.heard(merged(ANN, BOB))
    await write(ann, ASKED["unmerge"])
    await write(ann, ("POST", f"/users/{ANN}/erase", {"reason": "court_order", "confirm": ANN}))
    await write(ann, ("POST", f"/payments/{PAYMENT}/refund", {"amount": "20.00", "reason": "duplicate"}))

    lines = await fetch(ann.engine, "SELECT before, after FROM audit ORDER BY id")
    correction, merge, unmerge, erasure, refund = lines
    assert correction == ({"first_name": REDACTED}, {"first_name": REDACTED})
    assert merge == ({"merged_into": None}, {"merged_into": BOB, "reason": REDACTED})
    assert unmerge == ({"merged_into": BOB}, {"merged_into": None, "reason": REDACTED})
    assert (erasure[0]["first_name"], erasure[0]["total_bookings"]) == (REDACTED, 2)
    assert erasure[1]["reason"] == "court_order"
    assert refund[0] == {"status": "succeeded", "received": "67.50", "refunded": "10.00"}
    assert refund[1] == {"amount": "20.00", "currency": "GBP", "state": "accepted", "reason": "duplicate"}


async def test_without_a_key_every_request_has_one_of_its_own(ann: Admin) -> None:
    for _ in range(2):
        await ann.client.post(f"/api/admin{NOTE[1]}", json=NOTE[2])

    keys = {headers["idempotency-key"] for headers in ann.services.headers}
    assert len(keys) == 2


async def test_a_refusal_is_passed_on(ann: Admin) -> None:
    ann.services.answers[f"/users/{ANN}/merge"] = (409, "Bob was merged into Ann.")
    response = await ann.client.post(f"/api/admin/users/{ANN}/merge", json={"into": BOB, "reason": "One person"})

    assert (response.status_code, response.json()["detail"]) == (409, "Bob was merged into Ann.")
    assert response.headers["content-type"] == "application/problem+json"


async def test_fixed_paths_are_not_taken_for_ids(ann: Admin) -> None:
    assert (await ann.get("/users/duplicates"))["data"][0]["score"] == 90
    assert (await ann.client.get("/api/admin/users/export")).status_code == 200
    assert (await ann.client.get("/api/admin/payments/export")).status_code == 200


async def test_the_bookings_of_merged_users_are_those_of_whom_they_count_as(ann: Admin) -> None:
    await ann.heard(person("Bob Orr"), booking("b3"), linked("b3", BOB), merged(ANN, BOB))

    for asked in (ANN, BOB):
        page = await ann.get(f"/users/{asked}/bookings")
        assert page["total"] == 3
        assert {each["userId"] for each in page["data"]} == {BOB}
        assert (await ann.get(f"/users/{asked}/payments"))["total"] == 1
    assert (await ann.get("/payments", userId=BOB))["total"] == 1
    await ann.heard(merged(ANN, None, 2))
    assert [(await ann.get(f"/users/{each}/bookings"))["total"] for each in (ANN, BOB)] == [2, 1]


async def test_who_is_not_known_is_not_found(admin: Admin) -> None:
    for path in (f"/users/{ANN}", f"/users/{ANN}/bookings", f"/users/{ANN}/payments", f"/payments/{PAYMENT}"):
        assert (await admin.client.get(f"/api/admin{path}")).status_code == 404


async def test_a_refund_and_a_manual_payment_carry_their_key(ann: Admin) -> None:
    refund = await ann.client.post(f"/api/admin/payments/{PAYMENT}/refund", json={"amount": "20.00"})
    assert refund.status_code == 422
    headers = {"Idempotency-Key": "refund-of-today"}
    refund = await ann.client.post(f"/api/admin/payments/{PAYMENT}/refund", json={"amount": "20.00"}, headers=headers)
    assert (refund.status_code, refund.json()["requestedBy"]) == (201, "ann@office")

    cash = {"method": "cash", "amount": "5.00", "currency": "GBP", "paidAt": "2026-01-01T00:00:00Z", "booking": "b2"}
    recorded = await ann.client.post("/api/admin/payments/manual", json=cash, headers=headers)
    assert recorded.status_code == 201
    assert ann.services.asked[-1][2]["recorded_by"] == "ann@office"


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ({"status": "succeeded"}, 1),
        ({"status": "failed"}, 0),
        ({"refunded": True}, 1),
        ({"disputed": True}, 0),
        ({"unmatched": True}, 0),
        ({"minAmount": "67.50", "maxAmount": "67.50", "currency": "GBP"}, 1),
        ({"bookingId": "b1"}, 1),
        ({"search": "ref-b1"}, 1),
        ({"search": "ann"}, 1),
        ({"search": PAYMENT[:20]}, 0),
    ],
)
async def test_payments_are_filtered(ann: Admin, query: dict[str, Any], total: int) -> None:
    page = await ann.get("/payments", **query)

    assert (page["total"], len(page["data"])) == (total, total)


async def test_the_tag_is_the_version_that_is_shown(ann: Admin) -> None:
    ann.services.sequence = 7
    shown = await ann.client.get(f"/api/admin/users/{ANN}")

    assert shown.headers["ETag"] == '"1"'
    answer = await ann.client.patch(
        f"/api/admin/users/{ANN}", json={"firstName": "Anne"}, headers={"If-Match": shown.headers["ETag"]}
    )
    assert answer.status_code == 412


@pytest.mark.parametrize("tag", ["\xe9".encode(), "3\u20ac".encode(), b"3" * 41, b""])
async def test_a_tag_that_is_none_is_refused(ann: Admin, tag: bytes) -> None:
    response = await ann.client.patch(f"/api/admin/users/{ANN}", json={"firstName": "Anne"}, headers={b"If-Match": tag})
    assert response.status_code == 422


async def test_money_that_wants_a_person_is_found_by_its_flag(ann: Admin) -> None:
    assert {each["flag"] for each in (await ann.get("/payments"))["data"]} == {None}
    await execute(ann.engine, "UPDATE booking_payment SET flag = 'booking_cancelled'")
    await ann.heard(payment("00000000-0000-4000-8000-0000000000f2", "b2"))

    (flagged,) = (await ann.get("/payments", flag="booking_cancelled"))["data"]
    assert (flagged["id"], flagged["flag"]) == (PAYMENT, "booking_cancelled")
    assert (await ann.get("/payments", flag="booking_missing"))["total"] == 0
    assert (await ann.get(f"/payments/{PAYMENT}"))["flag"] == "booking_cancelled"
    assert (await ann.client.get("/api/admin/payments", params={"flag": "some"})).status_code == 422


async def test_what_was_filled_in_of_a_payment_from_history_is_shown(ann: Admin) -> None:
    made = payment("00000000-0000-4000-8000-0000000000f2", "b2")
    known = {"migrated": True, "reference": "MIGRATED-ref-b2", "inferred_fields": ["paid_at", "method"]}
    await ann.heard(made.model_copy(update={"data": {**made.data, **known}}))

    shown = await ann.get(f"/payments/{made.subject}")
    assert (shown["reference"], shown["inferredFields"]) == ("MIGRATED-ref-b2", ["paid_at", "method"])
    assert (await ann.get(f"/payments/{PAYMENT}"))["inferredFields"] == []


async def test_payments_without_a_method_come_first(ann: Admin) -> None:
    await execute(ann.engine, "UPDATE booking_payment SET method = 'card'")
    await ann.heard(payment("00000000-0000-4000-8000-0000000000f2", "b2"))

    for order, methods in (("asc", [None, "card"]), ("desc", ["card", None])):
        page = await ann.get("/payments", sort="method", order=order)
        assert [each["method"] for each in page["data"]] == methods


async def test_an_amount_below_zero_stays_a_number_in_the_export(ann: Admin) -> None:
    await ann.heard(payment(PAYMENT, "b1", 2, refunded=10000))
    export = await ann.client.get("/api/admin/payments/export")

    assert ",-32.50," in export.text
