"""What the gateway can ask and say: corrections, notes, communications; and what is refused."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from support.events import booking
from support.people import People

STRANGER = str(uuid4())


async def ann(people: People) -> Any:
    await people.learn(booking("b1", contact={"phone": "0111", "company": "Acme"}))
    return await people.id_of("ann@example.com")


async def test_a_user_is_shown_with_every_contact_ever_seen(people: People) -> None:
    id_ = await ann(people)
    await people.learn(booking("b1", 2, email=" ANN@example.com", contact={"first_name": "Anne", "phone": "0222"}))

    user = await people.ask(f"/users/{id_}")

    assert {name: user[name] for name in ("email", "first_name", "phone", "company_name", "sequence")} == {
        "email": "ann@example.com",
        "first_name": "Ann",
        "phone": "0222",
        "company_name": "Acme",
        "sequence": 2,
    }
    assert [each["first_name"] for each in user["variants"]] == ["Anne", "Ann"]
    assert (user["canonical_id"], user["merged_into"], user["merged_from"]) == (str(id_), None, [])
    await people.ask(f"/users/{STRANGER}", 404)


async def test_a_correction_shows_instead_of_what_bookings_say_until_it_is_cleared(people: People) -> None:
    id_ = await ann(people)
    corrected = await people.correct(id_, version=1, first_name="Anna", phone="0333", by="office")
    assert (corrected["first_name"], corrected["phone"], corrected["sequence"]) == ("Anna", "0333", 2)
    assert corrected["corrected"] == ["first_name", "phone"]

    await people.learn(booking("b2", 5, contact={"phone": "0444"}))
    assert (await people.ask(f"/users/{id_}"))["phone"] == "0333"

    cleared = await people.correct(id_, version='"2"', phone=None)
    assert (cleared["first_name"], cleared["phone"], cleared["last_name"]) == ("Anna", "0444", "Lee")
    told = await people.published("user.registered", "user.updated")
    assert [(each["sequence"], each["data"]["phone"]) for each in told] == [(1, "0111"), (2, "0333"), (3, "0444")]
    audit = await people.ask(f"/users/{id_}/audit")
    assert [(each["by"], each["before"], each["after"]) for each in audit][-1] == (
        "office",
        {},
        {"first_name": "Anna", "phone": "0333"},
    )


async def test_a_correction_of_an_older_version_is_refused(people: People) -> None:
    id_ = await ann(people)
    await people.correct(id_, version=1, first_name="Anna")

    assert (await people.correct(id_, 412, version=1, first_name="Bob"))["sequence"] == 2
    await people.correct(id_, 412, version="latest", first_name="Bob")
    await people.correct(id_, 428, version=None, first_name="Bob")
    assert (await people.ask(f"/users/{id_}"))["first_name"] == "Anna"


async def test_a_merged_user_is_not_corrected_but_the_one_they_count_as(people: People) -> None:
    id_ = await ann(people)
    await people.learn(booking("b2", email="bob@example.com"))
    bob = await people.id_of("bob@example.com")
    await people.merge(bob, id_)

    assert (await people.correct(bob, 409, version=1, first_name="Bob"))["canonical_id"] == str(id_)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("notes", {"kind": "complaint", "text": "Too cold", "internal": False, "author": "office"}),
        ("communications", {"channel": "sms", "direction": "outbound", "body": "See you", "author": "office"}),
    ],
)
async def test_entries_are_written_once_per_key_shown_newest_first_and_together_when_merged(
    people: People, path: str, body: dict[str, Any]
) -> None:
    id_ = await ann(people)
    await people.learn(booking("b2", email="bob@example.com"))
    bob = await people.id_of("bob@example.com")
    first = await people.post(f"/users/{id_}/{path}", 201, key="the-same-key", **body)
    assert await people.post(f"/users/{id_}/{path}", 200, key="the-same-key", **body) == first
    await people.post(f"/users/{id_}/{path}", 422, key="the-same-key", **{**body, "author": "else"})
    await people.post(f"/users/{bob}/{path}", 422, key="the-same-key", **body)
    written = [first, *[await people.post(f"/users/{bob}/{path}", 201, **body) for _ in range(3)]]
    await people.merge(bob, id_)

    for user in (id_, bob):
        items: list[Any] = []
        cursor: dict[str, Any] = {}
        while True:
            page = await people.ask(f"/users/{user}/{path}", limit=2, **cursor)
            items += page["items"]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert items == written[::-1]
        assert [item["user_id"] for item in items] == [str(bob)] * 3 + [str(id_)]
    await people.unmerge(bob)
    assert len((await people.ask(f"/users/{id_}/{path}"))["items"]) == 1


NOTE = {"text": "x", "author": "office"}
COMMUNICATION = {"channel": "phone", "direction": "inbound", "author": "office"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/users/no-uuid", None),
        ("GET", "/users/{id}/notes?limit=0", None),
        ("GET", "/users/{id}/notes?cursor=nonsense", None),
        ("GET", "/users/{id}/notes?cursor=WyIxIiwiMiJd", None),
        ("GET", "/users/{id}/merge-preview", None),
        ("GET", "/duplicates?limit=201", None),
        ("GET", "/duplicates?cursor=WyJ4Il0=", None),
        ("POST", "/users/{id}/notes", {**NOTE, "text": "  "}),
        ("POST", "/users/{id}/notes", {**NOTE, "text": "a\x00"}),
        ("POST", "/users/{id}/notes", {**NOTE, "text": "a" * 20_001}),
        ("POST", "/users/{id}/notes", {**NOTE, "kind": "praise"}),
        ("POST", "/users/{id}/notes", {"text": "x"}),
        ("POST", "/users/{id}/notes", {**NOTE, "other": 1}),
        ("POST", "/users/{id}/communications", {**COMMUNICATION, "channel": "pigeon"}),
        ("POST", "/users/{id}/communications", {**COMMUNICATION, "direction": "sideways"}),
        ("POST", "/users/{id}/communications", {**COMMUNICATION, "author": ""}),
        ("POST", "/users/{id}/merge", {"into": "x", "by": "office"}),
        ("POST", "/users/{id}/merge", {"into": STRANGER}),
        ("POST", "/users/{id}/unmerge", {}),
        ("POST", "/users/{id}/erase", {"by": "office"}),
        ("POST", "/duplicates/dismiss", {"users": [STRANGER], "by": "office"}),
        ("POST", "/duplicates/dismiss", {"users": [STRANGER, STRANGER], "by": "office"}),
        ("PATCH", "/users/{id}", {"first_name": ""}),
        ("PATCH", "/users/{id}", {"email": "new@example.com"}),
        ("PATCH", "/users/{id}", {"phone": 12}),
        ("PATCH", "/users/{id}", {"last_name": "a" * 201}),
    ],
)
async def test_what_does_not_fit_is_refused_and_says_where(people: People, method: str, path: str, body: Any) -> None:
    id_ = await ann(people)
    async with people.client() as client:
        headers = {"If-Match": "1", "Idempotency-Key": "a-good-key"}
        answer = await client.request(method, path.replace("{id}", str(id_)), json=body, headers=headers)

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", [None, "short", "with space", "a" * 201])
async def test_an_entry_needs_a_usable_key(people: People, key: str | None) -> None:
    id_ = await ann(people)
    async with people.client() as client:
        headers = {} if key is None else {"Idempotency-Key": key}
        assert (await client.post(f"/users/{id_}/notes", json=NOTE, headers=headers)).status_code == 422


async def test_nobody_comes_in_without_the_token(people: People) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(people.app), base_url="http://users") as client:
        paths = people.app.openapi()["paths"]
        assert len(paths) >= 10
        for path, methods in paths.items():
            for method in methods:
                address = path.replace("{user_id}", STRANGER)
                assert (await client.request(method, address)).status_code == 401
