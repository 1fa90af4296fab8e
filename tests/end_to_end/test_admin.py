"""The admin API on the four real services: people merged and taken apart, written about, paid back, erased for good."""

import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from local_stack.rabbitmq import LocalRabbit
from shared.channel import ReopeningChannel
from shared.database import create_engine
from shared.publisher import RabbitPublisher
from shared.replay import Selection, replay
from support import stripe_payloads as stripe
from support.bearer import BEARER
from support.broker import depth
from support.databases import Databases
from support.fake_stripe import KEY, FakeStripe, fake_stripe
from support.oracle import drained
from support.system import System, system
from support.traces import traces
from support.waiting import eventually

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

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


@pytest.fixture(scope="module")
def account() -> Iterator[FakeStripe]:
    with fake_stripe() as fake:
        yield fake


@pytest.fixture(scope="module")
async def whole(
    databases: Databases, rabbit: LocalRabbit, account: FakeStripe, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    settings = {"PAYMENTS_STRIPE_API_KEY": KEY, "PAYMENTS_STRIPE_API_BASE": account.url}
    async with system(databases, rabbit.url, tmp_path_factory.mktemp("logs"), settings) as running:
        yield running


class Admin:
    """Somebody with every role at the gateway's API."""

    def __init__(self, whole: System, http: httpx.AsyncClient) -> None:
        self.whole = whole
        self.http = http

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        return await self.http.request(method, f"{self.whole.gateway.url}/api/admin{path}", **request)

    async def get(self, path: str, **query: Any) -> Any:
        response = await self.ask("GET", path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    async def post(self, path: str, body: Any, *, status: int = 200, key: str | None = None) -> Any:
        response = await self.ask("POST", path, json=body, headers={"Idempotency-Key": key} if key else {})
        assert response.status_code == status, (response.status_code, response.text)
        return response.json() if response.content else None

    async def book(self, contact: dict[str, Any], amount: str, **columns: Any) -> str:
        body = {"contactDetails": contact, "finalAmount": amount, **columns}
        return str((await self.post("/bookings", body, status=201))["id"])

    async def pay(self, booking_id: str, amount: int, intent: str, **fields: Any) -> None:
        paid = stripe.payment_intent(
            intent,
            amount=amount,
            amount_received=amount,
            latest_charge=f"ch_{intent}",
            metadata={"bookingId": booking_id},
            **fields,
        )
        await self.whole.send_webhook(self.http, stripe.event("payment_intent.succeeded", paid))

    async def settled(self) -> None:
        await drained(self.whole, seconds=30)

    async def user_of(self, booking_id: str) -> str:
        async def linked() -> str | None:
            rows = await self.whole.query(
                "users", "SELECT user_id::text FROM booking_link WHERE booking_id = $1", booking_id
            )
            return rows[0]["user_id"] if rows else None

        return str(await eventually(linked, what="the link"))


@pytest.fixture
async def admin(whole: System) -> AsyncIterator[Admin]:
    async with httpx.AsyncClient(timeout=30, headers=whole.staff) as http:
        yield Admin(whole, http)


# --- merging --------------------------------------------------------------------------------------------------------


class Pair:
    """Two users who book and pay alike in every pair, so that pairs can be compared."""

    def __init__(self, admin: Admin, name: str) -> None:
        self.admin = admin
        self.name = name
        self.bookings: dict[str, list[str]] = {"one": [], "other": []}
        self.users: dict[str, str] = {}

    async def books_and_pays(self, who: str, amount: int, *, day: int) -> None:
        """Book, and pay half of it."""
        contact = {"firstName": who, "lastName": self.name, "email": f"{who}@{self.name}.example"}
        created = f"2026-01-{day:02}T10:00:00.000Z"
        booking_id = await self.admin.book(contact, f"{amount}.00", createdAt=created)
        self.bookings[who].append(booking_id)
        await self.admin.pay(booking_id, amount * 50, f"pi_{self.name}_{who}_{day}", created=stripe.START + day)
        self.users[who] = await self.admin.user_of(booking_id)

    async def shown(self, who: str) -> dict[str, Any]:
        """Return everything every service shows of one of them, without what differs between pairs."""
        admin, user_id = self.admin, self.users[who]
        detail = await admin.get(f"/users/{user_id}")
        own = [*self.bookings["one"], *self.bookings["other"]]
        legacy = {row["id"]: row["user"] for row in await admin.get("/bookings")}
        listed = await admin.get("/users", search=self.name)
        return {
            "listed": user_id in [user["id"] for user in listed["data"]],
            "sums": [detail[name] for name in ("totalBookings", "totalSpent", "totalPaid", "totalRefunded")],
            "dates": [detail[name] for name in ("firstBookingDate", "lastBookingDate", "createdAt")],
            "name": detail["name"].replace(self.name, ""),
            "emails": [email.split("@")[0] for email in detail["emails"]],
            "merged_from": len(detail["mergedFrom"]),
            "unavailable": detail["unavailable"],
            "bookings": [own.index(row["id"]) for row in (await admin.get(f"/users/{user_id}/bookings"))["data"]],
            "legacy": [
                (own.index(id_), user["totalBookings"], user["totalSpent"])
                for id_, user in legacy.items()
                if id_ in own and user["id"] == user_id
            ],
            "payments": [row["received"] for row in (await admin.get(f"/users/{user_id}/payments"))["data"]],
            "by_payments": sorted(await self._received(user_id)),
            "notes": [note["text"] for note in (await admin.get(f"/users/{user_id}/notes"))["data"]],
            "activity": await self._activity(user_id, own),
        }

    async def _received(self, user_id: str) -> list[str]:
        url = f"{self.admin.whole.payments.url}/internal/users/{user_id}/payments"
        return [row["received"] for row in (await self.admin.http.get(url, headers=BEARER)).json()["data"]]

    async def _activity(self, user_id: str, own: list[str]) -> list[tuple[str, int, str | None]]:
        lines = (await self.admin.get(f"/users/{user_id}/activity", limit=200))["data"]
        told = {(line["kind"], own.index(line["bookingId"]), line["amount"]) for line in lines if line["bookingId"]}
        return sorted(told, key=str)  # a payment is told once more when its booking becomes somebody's: chance

    async def all_shown(self) -> dict[str, Any]:
        return {who: await self.shown(who) for who in self.users}


async def test_unmerged_users_are_as_if_they_had_never_been_merged_whatever_came_between(admin: Admin) -> None:
    pair, control = Pair(admin, "merlow"), Pair(admin, "contrand")
    for each in (pair, control):
        await each.books_and_pays("one", 100, day=1)
        await each.books_and_pays("other", 40, day=2)
        await admin.post(f"/users/{each.users['other']}/notes", {"text": "before"}, status=201)
    await admin.settled()
    one, other = pair.users["one"], pair.users["other"]
    before = await told_alike(pair, control)

    preview = await admin.get(f"/users/{other}/merge-preview", into=one)
    assert preview["totals"][0]["totalSpent"] == "40.00"
    await admin.post(f"/users/{other}/merge", {"into": one, "reason": "the same"})
    for each in (pair, control):
        await each.books_and_pays("one", 7, day=3)
        await each.books_and_pays("other", 9, day=4)
        await admin.post(f"/users/{each.users['other']}/notes", {"text": "between"}, status=201)
    await admin.settled()

    async def whole_person() -> bool:
        shown = (await admin.get(f"/users/{one}"))["totalSpent"]
        return bool(shown == "156.00")

    await eventually(whole_person, what="the sums of both under one")
    merged = await pair.shown("one")
    assert merged["sums"] == [4, "156.00", "78.00", "0.00"]
    assert sorted(merged["bookings"]) == [0, 1, 2, 3]
    assert sorted(merged["legacy"]) == [(number, 4, "156.00") for number in range(4)]
    assert merged["by_payments"] == sorted(["50.00", "20.00", "3.50", "4.50"])
    assert merged["notes"] == ["between", "before"]
    assert len([line for line in merged["activity"] if line[0] == "booking.created"]) == 4
    assert not (await pair.shown("other"))["listed"]

    await admin.post(f"/users/{other}/unmerge", {"reason": "two sisters"})
    await admin.settled()
    after = await told_alike(pair, control)
    assert after != before
    assert after["other"]["sums"] == [2, "49.00", "24.50", "0.00"]


async def told_alike(pair: Pair, control: Pair) -> dict[str, Any]:
    """Wait until both pairs are shown alike, and return how."""
    last: list[Any] = []

    async def alike() -> bool:
        last[:] = [await pair.all_shown(), await control.all_shown()]
        return bool(last[0] == last[1] and last[0]["one"]["payments"] and last[0]["one"]["legacy"])

    try:
        await eventually(alike, what="the same of both pairs")
    except AssertionError:
        for who in pair.users:
            for part, shown in last[0][who].items():
                assert shown == last[1][who][part], (who, part)
        raise
    both: dict[str, Any] = last[0]
    return both


# --- written about, corrected, paid back ----------------------------------------------------------------------------


async def test_what_staff_write_is_written_once_and_a_repetition_is_answered_as_the_service_answers_it(
    admin: Admin,
) -> None:
    user_id = await admin.user_of(await admin.book({"firstName": "Nora", "email": "nora@notes.example"}, "10.00"))
    note = {"kind": "complaint", "text": "waited", "internal": False}
    sent = {"channel": "email", "direction": "outbound", "subject": "Hello", "bookingId": "b-1"}
    for what, body in (("notes", note), ("communications", sent)):
        path = f"/users/{user_id}/{what}"
        first = await admin.post(path, body, status=201, key=f"key-{what}")
        again = await admin.post(path, body, status=200, key=f"key-{what}")
        assert again == first
        assert body.items() <= first.items()
        changed = {**body, "text" if what == "notes" else "subject": "something else"}
        await admin.post(path, changed, status=422, key=f"key-{what}")
        assert (await admin.get(path))["data"] == [first]
    lines = await admin.get("/audit", entity=f"user/{user_id}")
    assert {line["action"] for line in lines["data"]} == {"note.added", "communication.added"}


async def test_a_correction_needs_the_version_that_was_seen_and_shows_in_the_list(admin: Admin) -> None:
    user_id = await admin.user_of(await admin.book({"firstName": "Cora", "email": "cora@patch.example"}, "10.00"))
    await admin.settled()
    path = f"/users/{user_id}"
    seen = (await admin.ask("GET", path)).headers["ETag"]
    body = {"lastName": "Correctedly"}

    assert (await admin.ask("PATCH", path, json=body)).status_code == 428
    changed = await admin.ask("PATCH", path, json=body, headers={"If-Match": seen})
    assert (changed.status_code, changed.json()["lastName"]) == (200, "Correctedly")
    assert (await admin.ask("PATCH", path, json=body, headers={"If-Match": seen})).status_code == 412
    renewed = changed.headers["ETag"]
    assert (await admin.ask("PATCH", path, json={"lastName": None}, headers={"If-Match": renewed})).status_code == 200
    await admin.settled()
    assert (await admin.get(path))["lastName"] is None


async def test_likely_duplicates_are_listed_and_stay_away_once_dismissed(whole: System, admin: Admin) -> None:
    twins = [
        await admin.user_of(await admin.book({"lastName": "Duplo", "email": email, "phone": "020 7946 0123"}, "10.00"))
        for email in ("duplo@one.example", "duplo@two.example")
    ]
    await admin.settled()
    await admin.http.post(f"{whole.services['users'].url}/internal/duplicates/find", headers=BEARER)

    found = (await admin.get("/users/duplicates"))["data"]
    assert [sorted(user["id"] for user in pair["users"]) for pair in found] == [sorted(twins)]
    await admin.post("/users/duplicates/dismiss", {"users": twins}, status=204)
    await admin.http.post(f"{whole.services['users'].url}/internal/duplicates/find", headers=BEARER)
    assert (await admin.get("/users/duplicates"))["data"] == []
    assert (await admin.get("/audit", action="duplicate.dismissed"))["data"][0]["entity"] == f"user/{min(twins)}"


async def test_refunds_and_payments_by_hand_are_made_once_and_told_in_the_timeline(
    admin: Admin, account: FakeStripe
) -> None:
    booking_id = await admin.book({"firstName": "Rhea", "email": "rhea@refund.example"}, "67.50")
    account.holds(stripe.charge("ch_pi_refund", payment_intent="pi_refund"))
    await admin.pay(booking_id, 6750, "pi_refund")
    await admin.settled()
    user_id = await admin.user_of(booking_id)
    (paid,) = (await admin.get(f"/users/{user_id}/payments"))["data"]

    path, order = f"/payments/{paid['id']}/refund", {"amount": "20.00"}
    account.faults.append(500)
    pending = await admin.post(path, order, status=202, key="refund-one")
    made = await admin.whole.query("payments", "SELECT count(*) AS n FROM refund_request")
    assert (pending["state"], made[0]["n"]) == ("pending", 1)

    async def accepted() -> Any:
        answer = await admin.ask("POST", path, json=order, headers={"Idempotency-Key": "refund-one"})
        return answer.json() if answer.status_code == 200 else None

    again = await eventually(accepted, seconds=30, what="the refund taken by Stripe")
    assert (again["id"], again["state"]) == (pending["id"], "accepted")
    assert len(account.made) == 1
    more = await admin.ask("POST", path, json={"amount": "60.00"}, headers={"Idempotency-Key": "refund-two"})
    assert more.status_code in {409, 422}, more.text
    for event in account.events:
        await admin.whole.send_webhook(admin.http, event)

    manual = {"method": "cash", "amount": "5.00", "currency": "GBP", "paidAt": "2026-03-01T10:00:00.000Z"}
    by_hand = await admin.post("/payments/manual", {**manual, "booking": booking_id}, status=201, key="manual-one")
    repeated = await admin.post("/payments/manual", {**manual, "booking": booking_id}, status=200, key="manual-one")
    assert repeated["id"] == by_hand["id"]
    await admin.settled()

    async def told() -> bool:
        detail = await admin.get(f"/users/{user_id}")
        return [detail["totalPaid"], detail["totalRefunded"]] == ["72.50", "20.00"]

    await eventually(told, what="both in the totals")
    timeline = (await admin.get(f"/payments/{paid['id']}"))["timeline"]
    assert {"delivery", "change", "refund", "refund_request"} <= {item["kind"] for item in timeline}
    kinds = [line["kind"] for line in (await admin.get(f"/users/{user_id}/activity"))["data"]]
    assert {"booking.created", "payment.succeeded", "payment.refunded"} <= set(kinds)


async def test_a_service_that_is_stopped_costs_its_part_alone(whole: System, admin: Admin) -> None:
    booking_id = await admin.book({"firstName": "Stella", "email": "stella@stopped.example"}, "10.00")
    by_hand = {"method": "cash", "amount": "5.00", "currency": "GBP", "paidAt": "2026-03-01T10:00:00.000Z"}
    payment = await admin.post("/payments/manual", {**by_hand, "booking": booking_id}, status=201, key="stopped-1")
    user_id = await admin.user_of(booking_id)
    await admin.settled()
    paths = {
        "users": [f"/users/{user_id}/notes", f"/users/{user_id}/erase-preview", "/users/duplicates"],
        "stats": [f"/users/{user_id}/activity"],
        "payments": [],
    }
    for stopped in paths:
        whole.services[stopped].signal(signal.SIGSTOP)
        try:
            for service, asked in paths.items():
                for path in asked:
                    assert (await admin.ask("GET", path)).status_code == (503 if service == stopped else 200), path
            detail = await admin.get(f"/payments/{payment['id']}")
            assert (detail["timeline"] is None) == (stopped == "payments")
            assert (await admin.get(f"/users/{user_id}"))["totalBookings"] == 1
        finally:
            whole.services[stopped].signal(signal.SIGCONT)


# --- erased ---------------------------------------------------------------------------------------------------------


async def plant(whole: System, admin: Admin) -> tuple[str, list[str]]:
    """Let somebody book, pay, be written about and fail at every door; return the user and the bookings."""
    first = await admin.book(CONTACT, "67.50", participants=PARTICIPANTS)
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
    user_id = await admin.user_of(first)
    billing = {"email": EMAIL, "name": "Quilla Zabriskie", "phone": CONTACT["phone"], "address": None}
    person: dict[str, Any] = {"customer": "cus_77", "receipt_email": EMAIL, "description": "For Quilla Zabriskie"}
    await admin.pay(first, 6750, "pi_erase", **person)
    charge = stripe.charge("ch_pi_erase", payment_intent="pi_erase", billing_details=billing, **person)
    customer = {"id": "cus_77", "object": "customer", "email": EMAIL, "name": "Quilla Zabriskie"}
    for event in (
        stripe.event("charge.succeeded", charge),
        stripe.event("customer.updated", customer),
        stripe.event("payment_intent.attached", stripe.payment_intent("pi_erase", receipt_email=EMAIL)),
        stripe.event("charge.updated", {**charge, "livemode": True}, livemode=True),
        stripe.event("charge.updated", {**charge, "status": "unheard of"}),
    ):
        await whole.send_webhook(admin.http, event)
    manual = {"method": "cash", "amount": "5.00", "currency": "GBP", "paidAt": "2026-03-01T10:00:00.000Z"}
    order = {**manual, "booking": row["id"], "reference": "typed-reference"}
    await admin.post("/payments/manual", order, status=201, key="erase-manual")
    await admin.post(f"/users/{user_id}/notes", {"text": "typed-note of Quilla"}, status=201)
    mail = {"channel": "email", "direction": "inbound", "subject": "typed-mail", "body": "Zabriskie"}
    await admin.post(f"/users/{user_id}/communications", mail, status=201)
    await admin.settled()
    bystander = await admin.user_of(await admin.book({"email": "bystander@else.example"}, "1.00"))
    await admin.post(f"/users/{user_id}/merge", {"into": bystander, "reason": "typed-reason"})
    await admin.post(f"/users/{user_id}/unmerge", {"reason": "typed-reason"})
    seen = (await admin.ask("GET", f"/users/{user_id}")).headers["ETag"]
    body = {"lastName": "Corrected-surname"}
    changed = await admin.ask("PATCH", f"/users/{user_id}", json=body, headers={"If-Match": seen})
    assert changed.status_code == 200, changed.text
    await admin.ask("PUT", f"/bookings/{first}", json={"status": "ATTENDED"})
    await set_aside(whole, first, user_id)
    await admin.settled()
    return user_id, bookings


async def set_aside(whole: System, booking_id: str, user_id: str) -> None:
    """Put a dead letter about the person into every service."""
    (event,) = await whole.query(
        "bookings-gateway",
        "SELECT CAST(body AS text) AS body FROM gateway.event_log WHERE subject = $1 ORDER BY seq LIMIT 1",
        booking_id,
    )
    about_user = json.dumps({"data": {"last_name": "late-surname"}})
    letters = [(booking_id, "booking.created", event["body"]), (user_id, "user.updated", about_user)]
    for service in whole.services:
        schema = "gateway." if service == "bookings-gateway" else ""
        for subject, type_, body in letters:
            if service == "users" and type_ == "user.updated":
                continue  # users hears of no users
            await whole.query(
                service,
                f"""
                INSERT INTO {schema}dead_letter
                    (type, subject, content_type, body, reason, attempts, first_failed_at, last_failed_at)
                VALUES ($1, $2, 'application/cloudevents+json', convert_to($3, 'UTF8'), 'tried', 5, now(), now())
                """,  # noqa: S608
                type_,
                subject,
                body,
            )


async def money(whole: System, admin: Admin, user_id: str) -> dict[str, Any]:
    """What is kept of a person: sums, and which bookings are theirs."""
    totals = await admin.http.get(f"{whole.services['stats'].url}/internal/users/{user_id}/totals", headers=BEARER)
    detail = await admin.get(f"/users/{user_id}")
    sql = 'SELECT id::text, user_id::text, "finalAmount", status FROM bookings WHERE user_id::text = $1 ORDER BY id'
    return {
        "stats": {**totals.json(), "last_activity_date": None},
        "shown": {name: value for name, value in detail.items() if name.startswith("total")},
        "bookings": [tuple(row) for row in await whole.query("bookings-gateway", sql, user_id)],
        "payments": sorted(row["received"] for row in (await admin.get(f"/users/{user_id}/payments"))["data"]),
    }


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


async def test_an_erased_person_is_nowhere_and_nothing_brings_them_back_and_the_money_is_the_same(
    whole: System, admin: Admin
) -> None:
    user_id, bookings = await plant(whole, admin)
    before = await money(whole, admin, user_id)
    assert len(before["bookings"]) == 2
    assert {place.split(" = ")[1] for place in await traces(whole, PERSONAL)} == set(PERSONAL)

    assert (await admin.get(f"/users/{user_id}/erase-preview"))["counts"]["bookings_kept"] == 2
    refused = await admin.ask("POST", f"/users/{user_id}/erase", json={"reason": "asked", "confirm": "x@y.example"})
    assert refused.status_code == 409, refused.text
    erased = await admin.post(f"/users/{user_id}/erase", {"reason": "asked for", "confirm": EMAIL})
    assert erased["users"] == [user_id]
    await admin.settled()
    await nothing_left(whole)
    assert await money(whole, admin, user_id) == before

    late = {"id": "cus_77", "object": "customer", "email": EMAIL, "name": "late-surname"}
    await whole.send_webhook(admin.http, stripe.event("customer.deleted", late))
    await set_aside_late(whole, bookings[0])
    await replay_everything(whole)
    await admin.settled()
    await nothing_left(whole)
    assert await money(whole, admin, user_id) == before

    anew = await admin.user_of(await admin.book(CONTACT, "1.00"))
    assert anew != user_id
    await admin.settled()
    assert await money(whole, admin, user_id) == before


async def set_aside_late(whole: System, booking_id: str) -> None:
    """A dead letter that was on its way for the minutes of its retries: written before the erasure, kept after it."""
    contact = {"email": EMAIL, "last_name": "late-surname"}
    at = "2026-01-01T10:00:00Z"
    data = {"booking_id": "unlinked", "contact": contact, "currency": "GBP", "created_at": at}
    for service in whole.services:
        schema = "gateway." if service == "bookings-gateway" else ""
        for subject in (booking_id, *(["unlinked"] if service == "users" else [])):
            event = {
                "specversion": "1.0",
                "id": "0190a000-0000-7000-8000-00000000dead",
                "source": "/bookings-gateway",
                "type": "booking.updated",
                "subject": subject,
                "time": at,
                "sequence": 1,
                "data": data,
                "dataschema": "urn:bookings:event:booking.updated:v1",
            }
            await whole.query(
                service,
                f"""
                INSERT INTO {schema}dead_letter
                    (type, subject, content_type, body, reason, attempts, first_failed_at, last_failed_at)
                VALUES ('booking.updated', $1, 'application/cloudevents+json', convert_to($2, 'UTF8'), 'tried', 5,
                        now(), now())
                """,  # noqa: S608
                subject,
                json.dumps(event),
            )


async def replay_everything(whole: System) -> None:
    """Send every producer's log again to each of its consumers."""
    consumers = {
        "bookings-gateway": ["users", "payments", "stats", "bookings-gateway"],
        "users": ["payments", "stats", "bookings-gateway"],
        "payments": ["stats", "bookings-gateway"],
        "stats": ["bookings-gateway"],
    }
    async with (
        aclosing(RabbitPublisher(whole.amqp_url)) as publisher,
        aclosing(ReopeningChannel(whole.amqp_url)) as probe,
    ):
        for producer, heard in consumers.items():
            engine = create_engine(whole.database_urls[producer], name="replay", search_path="gateway,public")
            for consumer in heard:
                async for _ in replay(engine, publisher, probe, to=consumer, selection=Selection()):
                    pass
            await engine.dispose()

    async def taken_in() -> bool:
        depths = [await depth(whole.amqp_url, f"{consumer}.bulk") for consumer in whole.services]
        return sum(depths) == 0

    await eventually(taken_in, what="the replays taken in")
