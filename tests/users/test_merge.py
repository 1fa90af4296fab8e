"""A merge is a mapping: followed to its end, never a circle, and undone as if it had not been."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.events import Event
from support.events import booking
from support.people import MakeEngine, People

NAMES = ("ann", "bob", "cleo")
TRAFFIC = [
    booking("b1", 2, email="ann@example.com", contact={"phone": "0111"}),
    booking("b2", 2, email="ann@example.com"),
    booking("b4", 1, email="bob@example.com", contact={"first_name": "Bobby", "company": "Acme"}),
    booking("b5", 1, email="ann@example.com", created_at="2025-01-01T00:00:00Z"),
    booking("b6", 1, email=None),
]


async def registered(people: People) -> dict[str, UUID]:
    """Ann, Bob and Cleo, each by a booking."""
    await people.learn(*(booking(f"b{n}", email=f"{name}@example.com") for n, name in enumerate(NAMES, start=1)))
    return {name: await people.id_of(f"{name}@example.com") for name in NAMES}


async def answers(people: People, ids: dict[str, UUID]) -> Any:
    """What the internal API says about everybody, ids replaced by names; and every link."""
    said = [await people.ask(f"/users/{id_}{part}") for id_ in ids.values() for part in ("", "/notes")]
    links = await people.rows("SELECT booking_id, identity FROM booking_link l JOIN users u ON u.id = l.user_id")
    written = json.dumps([said, sorted(map(list, links))])
    for name, id_ in ids.items():
        written = written.replace(str(id_), name)
    return json.loads(written)


@pytest.fixture
async def twins(make_engine: MakeEngine) -> tuple[People, People]:
    return People(await make_engine("users")), People(await make_engine("users"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(TRAFFIC), cuts=st.lists(st.integers(0, len(TRAFFIC)), min_size=2, max_size=2))
async def test_merge_and_unmerge_is_as_if_nothing_had_been_whatever_arrives_between(
    twins: tuple[People, People], order: list[Event], cuts: list[int]
) -> None:
    states = []
    for people, merges in zip(twins, (True, False), strict=True):
        await people.empty()
        ids = await registered(people)
        first, second = sorted(cuts)
        await people.learn(*order[:first])
        if merges:
            await people.merge(ids["bob"], ids["ann"])
        await people.learn(*order[first:second])
        if merges:
            assert (await people.ask(f"/users/{ids['bob']}"))["canonical_id"] == str(ids["ann"])
            await people.unmerge(ids["bob"])
        await people.learn(*order[second:])
        states.append(await answers(people, ids))

    assert states[0] == states[1]


async def test_a_chain_is_followed_to_its_end_and_the_old_id_says_where_it_went(people: People) -> None:
    ids = await registered(people)
    await people.merge(ids["bob"], ids["ann"])
    await people.merge(ids["ann"], ids["cleo"])

    bob = await people.ask(f"/users/{ids['bob']}")
    assert (bob["merged_into"], bob["canonical_id"]) == (str(ids["ann"]), str(ids["cleo"]))
    assert bob["email"] == "bob@example.com"
    cleo = await people.ask(f"/users/{ids['cleo']}")
    assert set(cleo["merged_from"]) == {str(ids["ann"]), str(ids["bob"])}
    assert cleo["emails"] == ["cleo@example.com", "ann@example.com", "bob@example.com"]
    assert {variant["email_written"] for variant in cleo["variants"]} == {f"{name}@example.com" for name in NAMES}

    await people.unmerge(ids["ann"])
    assert (await people.ask(f"/users/{ids['bob']}"))["canonical_id"] == str(ids["ann"])


async def test_a_merge_into_a_merged_user_goes_to_whom_that_one_counts_as(people: People) -> None:
    ids = await registered(people)
    await people.merge(ids["bob"], ids["ann"])

    assert (await people.merge(ids["cleo"], ids["bob"]))["merged_into"] == str(ids["ann"])


async def test_a_merge_that_makes_no_sense_is_refused_and_changes_nothing(people: People) -> None:
    ids = await registered(people)
    await people.merge(ids["bob"], ids["ann"])
    before = await people.rows("SELECT * FROM users ORDER BY id")

    await people.merge(ids["ann"], ids["bob"], 409)  # a circle
    await people.merge(ids["ann"], ids["ann"], 409)
    refused = await people.merge(ids["bob"], ids["cleo"], 409)  # is merged into somebody else
    assert refused["canonical_id"] == str(ids["ann"])
    await people.merge(uuid4(), ids["ann"], 404)
    await people.merge(ids["ann"], uuid4(), 404)
    await people.unmerge(ids["ann"], 409)
    await people.erase(ids["cleo"])
    await people.merge(ids["cleo"], ids["ann"], 409)
    await people.merge(ids["ann"], ids["cleo"], 409)

    after = await people.rows("SELECT * FROM users WHERE erased_at IS NULL ORDER BY id")
    assert after == [row for row in before if row.email != "cleo@example.com"]


async def test_merging_again_changes_nothing_and_each_change_is_told_with_a_sequence_of_its_own(
    people: People,
) -> None:
    ids = await registered(people)
    for _ in range(2):
        await people.merge(ids["bob"], ids["ann"])
    await people.unmerge(ids["bob"])
    await people.learn(booking("b9", email="bob@example.com", contact={"phone": "07700 900123"}))

    told = await people.published("user.merged", "user.unmerged")
    assert [(each["type"], each["sequence"], each["data"]) for each in told] == [
        ("user.merged", 1, {"user_id": str(ids["bob"]), "merged_into": str(ids["ann"])}),
        ("user.unmerged", 2, {"user_id": str(ids["bob"]), "merged_into": None}),
    ]
    bobs = [each["sequence"] for each in await people.published("user.registered", "user.updated")
            if each["subject"] == str(ids["bob"])]  # fmt: skip
    assert bobs == [1, 2]


async def test_a_merge_repeated_after_its_target_was_merged_on_changes_nothing(people: People) -> None:
    ids = await registered(people)
    await people.merge(ids["bob"], ids["ann"])
    first = await people.merge(ids["cleo"], ids["bob"])  # kept as: into Ann
    await people.learn(booking("b8", email="dan@example.com"))
    dan = await people.id_of("dan@example.com")
    await people.merge(ids["ann"], dan)
    decided = await people.rows("SELECT * FROM audit")

    again = await people.merge(ids["cleo"], ids["bob"])
    assert (again["merged_into"], again["canonical_id"]) == (first["merged_into"], str(dan))
    assert (await people.merge(ids["bob"], ids["ann"]))["canonical_id"] == str(dan)
    assert await people.rows("SELECT * FROM audit") == decided
    assert len(await people.published("user.merged")) == 3
    await people.merge(ids["bob"], dan, 409)  # that is another merge: unmerging Ann would not undo it


async def test_two_merges_at_once_that_would_make_a_circle_make_none(people: People) -> None:
    ids = await registered(people)
    ring = [("ann", "bob"), ("bob", "cleo"), ("cleo", "ann")]
    async with people.client() as client:

        async def merge(one: str, other: str) -> int:
            body = {"into": str(ids[other]), "by": "office"}
            return (await client.post(f"/users/{ids[one]}/merge", json=body)).status_code

        codes = await asyncio.gather(*(merge(*pair) for pair in ring))

    assert sorted(codes) == [200, 200, 409]
    canonicals = {(await people.ask(f"/users/{id_}"))["canonical_id"] for id_ in ids.values()}
    assert len(canonicals) == 1


async def test_preview_says_field_by_field_what_shows_and_how_much_moves_and_changes_nothing(people: People) -> None:
    ids = await registered(people)
    await people.learn(booking("b7", email="bob@example.com", contact={"first_name": "Bob", "phone": "0111"}))
    await people.post(f"/users/{ids['bob']}/notes", 201, text="Likes tea", author="office")
    before = await people.rows("SELECT * FROM users ORDER BY id")

    preview = await people.ask(f"/users/{ids['bob']}/merge-preview", into=str(ids["ann"]))

    fields = {each["field"]: (each["kept"], each["merged"], each["differs"]) for each in preview["fields"]}
    assert fields["email"] == ("ann@example.com", "bob@example.com", True)
    assert fields["phone"] == (None, "0111", True)
    assert fields["last_name"] == ("Lee", "Lee", False)
    assert preview["moves"] == {"bookings": 2, "variants": 2, "notes": 1, "communications": 0, "users": 1}
    assert await people.rows("SELECT * FROM users ORDER BY id") == before


async def test_who_merged_whom_when_and_why_is_kept_on_both(people: People) -> None:
    ids = await registered(people)
    await people.merge(ids["bob"], ids["ann"])
    await people.unmerge(ids["bob"])

    for name in ("ann", "bob"):
        audit = await people.ask(f"/users/{ids[name]}/audit")
        assert [(each["action"], each["by"], each["reason"]) for each in audit] == [
            ("unmerge", "office", "two people"),
            ("merge", "office", "same person"),
        ]
        assert audit[1]["before"] == {"merged_into": None}
        assert audit[1]["after"] == {"merged_into": str(ids["ann"])}
