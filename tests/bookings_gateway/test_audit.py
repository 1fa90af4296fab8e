"""Who did what, before and after, and nothing of it that is nobody's business."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest

from bookings_gateway.access import accounts, audit, tokens
from bookings_gateway.access.actor import Role
from bookings_gateway.access.audit import REDACTED
from support.gateway import Gateway, log_in
from support.legacy_table import execute, fetch
from support.staff import SOMEBODY, bearer

PERSONAL = {
    "contactDetails": {"firstName": "Zelda", "email": "zelda@example.com"},
    "participants": [{"name": "Link", "medical": "peanuts"}],
    "specialRequirements": "wheelchair",
}
SECRETS = ("Zelda", "zelda", "Link", "peanuts", "wheelchair")
ADDED = 'ALTER TABLE bookings ADD COLUMN IF NOT EXISTS "specialRequirements" text, ADD COLUMN IF NOT EXISTS state text'

Json = dict[str, Any]


async def lines(client: httpx.AsyncClient, **wanted: Any) -> list[Json]:
    answer = await client.get("/audit", params=wanted)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


@pytest.fixture
async def admin(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """An admin with an empty audit."""
    headers = await bearer(gateway.engine)
    await execute(gateway.engine, ADDED)
    await execute(gateway.engine, "DELETE FROM audit")
    async with gateway.client(headers=headers) as client:
        yield client


async def test_every_write_of_a_booking_is_recorded_with_before_and_after(admin: httpx.AsyncClient) -> None:
    body = {"contactDetails": {}, "finalAmount": "10.00", "bookingReference": "R1"}
    id_ = (await admin.post("/bookings", json=body)).json()["id"]
    await admin.put(f"/bookings/{id_.upper()}", json={"status": "CONFIRMED", "finalAmount": "12.50"})
    await admin.delete(f"/bookings/{id_}")
    deleted, updated, created = await lines(admin)

    assert [line["action"] for line in (created, updated, deleted)] == [
        "booking.create",
        "booking.update",
        "booking.delete",
    ]
    assert {line["entity"] for line in (created, updated, deleted)} == {f"booking/{id_}"}
    assert created["before"] is None
    assert created["after"].items() >= {"bookingReference": "R1", "status": "PENDING", "finalAmount": "10.00"}.items()
    assert updated["before"] == {"status": "PENDING", "finalAmount": "10.00"}
    assert updated["after"] == {"status": "CONFIRMED", "finalAmount": "12.50"}
    assert deleted["before"].items() >= {"status": "CONFIRMED", "finalAmount": "12.50"}.items()
    assert deleted["after"] is None


async def test_a_line_says_who_it_was_and_by_which_request(admin: httpx.AsyncClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    await admin.post("/bookings", json={"contactDetails": {}}, headers=headers)
    me = (await admin.get("/session")).json()
    (line,) = await lines(admin)

    assert (line["actorId"], line["actor"], line["role"]) == (me["id"], me["name"], "admin")
    assert line["correlationId"] == trace


async def test_nothing_of_a_person_gets_into_the_audit(admin: httpx.AsyncClient, gateway: Gateway) -> None:
    created = await admin.post("/bookings", json={**PERSONAL, "state": "wheelchair"})
    assert created.status_code == 201, created.text
    id_ = created.json()["id"]
    await admin.put(f"/bookings/{id_}", json={"contactDetails": {"firstName": "Ganon"}, "participants": []})
    await admin.delete(f"/bookings/{id_}")
    stored = await fetch(gateway.engine, "SELECT CAST(a.* AS text) FROM audit a")
    _, updated, _ = await lines(admin)

    assert len(stored) == 3
    assert [secret for secret in (*SECRETS, "Ganon") for (line,) in stored if secret in line] == []
    assert updated["after"] == {"contactDetails": REDACTED, "column participants": REDACTED}


async def test_what_was_not_done_is_not_recorded(admin: httpx.AsyncClient) -> None:
    body = {"contactDetails": {}, "bookingReference": "R1"}
    await admin.post("/bookings", json=body)
    assert (await admin.post("/bookings", json=body)).status_code == 409
    assert (await admin.delete("/bookings/00000000-0000-4000-8000-000000000001")).status_code == 404

    assert len(await lines(admin)) == 1


async def test_accounts_tokens_and_logins_are_recorded(admin: httpx.AsyncClient, gateway: Gateway) -> None:
    engine, email, password = gateway.engine, "ben@office.example", "a password that is long"
    id_ = await accounts.add_staff(engine, SOMEBODY, email=email, name="Ben", role=Role.VIEWER, password=password)
    await accounts.set_role(engine, SOMEBODY, email=email, role=Role.STAFF)
    await accounts.set_password(engine, SOMEBODY, email=email, password=password)
    await accounts.disable(engine, SOMEBODY, email=email)
    await accounts.enable(engine, SOMEBODY, email=email)
    async with gateway.client() as client:
        await log_in(client, email, password)
        await client.post("/logout")
    await tokens.create_token(engine, SOMEBODY, name="shop", role=Role.STAFF, lifetime=timedelta(days=1))
    ((token_id,),) = await fetch(engine, "SELECT id FROM api_token WHERE name = 'shop'")
    await tokens.revoke_token(engine, SOMEBODY, token_id=token_id)
    found = await lines(admin)

    assert [line["action"] for line in reversed(found)] == [
        *("staff.add", "staff.set-role", "staff.set-password", "staff.disable", "staff.enable"),
        *("session.open", "session.end", "token.create", "token.revoke"),
    ]
    assert {line["entity"] for line in found} == {f"staff/{id_}", f"token/{token_id}"}
    by_action = {line["action"]: (line["before"], line["after"]) for line in found}
    assert by_action["staff.set-role"] == ({"role": "viewer"}, {"role": "staff"})
    assert by_action["staff.set-password"] == (None, {"password": REDACTED})
    assert by_action["staff.disable"] == ({"disabled": False}, {"disabled": True})


async def record(gateway: Gateway, count: int, **fields: Any) -> None:
    async with gateway.engine.begin() as connection:
        for number in range(count):
            await audit.record(
                connection, SOMEBODY, **{"action": "note.add", "entity": f"user/{number}", "after": {}, **fields}
            )


async def test_pages_follow_on_each_other_whatever_comes_meanwhile(admin: httpx.AsyncClient, gateway: Gateway) -> None:
    await record(gateway, 5)
    seen: list[str] = []
    page = (await admin.get("/audit", params={"limit": 2})).json()
    while page["next"] is not None:
        seen += [line["entity"] for line in page["data"]]
        await record(gateway, 1, entity="user/new")
        page = (await admin.get("/audit", params={"limit": 2, "cursor": page["next"]})).json()
    seen += [line["entity"] for line in page["data"]]

    assert seen == [f"user/{number}" for number in reversed(range(5))]


async def test_every_filter_given_must_hold(admin: httpx.AsyncClient, gateway: Gateway) -> None:
    await record(gateway, 2)
    await record(gateway, 1, action="note.remove")
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()

    assert len(await lines(admin, action="note.add")) == 2
    assert len(await lines(admin, entity="user/0")) == 2
    assert len(await lines(admin, entity="user/0", action="note.remove")) == 1
    assert len(await lines(admin, actor=str(SOMEBODY.id))) == 3
    assert await lines(admin, actor=str(UUID(int=1))) == []
    assert await lines(admin, since=later) == []
    assert len(await lines(admin, until=later)) == 3


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (None, None, (None, None)),
        ({"status": "A", "amount": 1}, {"status": "B", "amount": 1}, ({"status": "A"}, {"status": "B"})),
        ({"text": "x"}, {"text": "y"}, ({"text": REDACTED}, {"text": REDACTED})),
        ({"text": None}, {"text": "y"}, ({"text": None}, {"text": REDACTED})),
        ({"text": "x"}, {"text": "x"}, ({}, {})),
        (None, {"kind": "x" * 101}, (None, {"kind": REDACTED})),
        (None, {"status": {"name": "Zelda"}}, (None, {"status": REDACTED})),
        (None, {"status": "\x00\ud800"}, (None, {"status": "?"})),
        (None, {"amount": Decimal("1.50"), "internal": True}, (None, {"amount": "1.50", "internal": True})),
    ],
)
def test_values_are_kept_of_named_fields_alone(before: Json | None, after: Json | None, kept: object) -> None:
    assert audit.changes(before, after) == kept


async def test_text_no_database_holds_can_be_recorded(gateway: Gateway) -> None:
    await record(gateway, 1, after={"status": "\x00\ud800", "text": "\x00"})

    assert await fetch(gateway.engine, "SELECT after ->> 'status' FROM audit") == [("?",)]
