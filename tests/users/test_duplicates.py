"""Likely duplicates are found, wait for somebody to decide, and stay away once dismissed."""

from typing import Any

import pytest

from support.events import booking
from support.people import People

SAME_PHONE, SAME_MAILBOX, ALIKE = "same phone and surname", "same mailbox", "similar address"


def book(number: int, email: str | None, first: str, last: str, phone: str | None = None) -> Any:
    return booking(f"b{number}", email=email, contact={"first_name": first, "last_name": last, "phone": phone})


async def found(people: People) -> list[tuple[list[str], list[str]]]:
    """Pairs of addresses and why, the likeliest first."""
    await people.post("/duplicates/find")
    items = (await people.ask("/duplicates"))["items"]
    return [(sorted(user["email"] or "" for user in item["users"]), item["reasons"]) for item in items]


@pytest.mark.parametrize(
    ("one", "other", "reasons"),
    [
        (("ann@a.example", "Ann", "Lee", "07700 900123"), ("al@b.example", "A", "LEE", "+44 7700 900-123"), SAME_PHONE),
        (("ann@a.example", "Ann", "Smith", "07700 900123"), ("z@b.example", "A", "Smyth", "07700900123"), SAME_PHONE),
        (("ann.lee@gmail.com", "Ann", "Lee"), ("annlee+shop@googlemail.com", "A", "L"), SAME_MAILBOX),
        (("ann+x@a.example", "Ann", "Lee"), ("ann@a.example", "Bea", "Moss"), SAME_MAILBOX),
        (("ann.lee@a.example", "Ann", "Lee"), ("ann.lee@a.exmaple", "Anne", "Lee"), ALIKE),
        (("xann.lee@a.example", "Ann", "Lee"), ("ann.lee@a.example", "Ann", "Lee"), ALIKE),
    ],
)
async def test_likely_duplicates_are_found(people: People, one: Any, other: Any, reasons: str) -> None:
    await people.learn(book(1, *one), book(2, *other), book(3, "else@c.example", "Cleo", "Moss"))

    assert await found(people) == [(sorted([one[0], other[0]]), [reasons])]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ann@a.example", "Ann", "Lee", "07700 900123"), ("al@b.example", "Al", "Moss", "07700 900123")),
        (("ann@a.example", "Ann", "Lee", "07700 900123"), ("al@b.example", "Al", "Lee", "07700 900124")),
        (("a.nn@a.example", "Ann", "Lee"), ("ann@a.example", "Bea", "Moss")),
        (("ann1@a.example", "Ann", "Lee"), ("ann2@a.example", "Ann", "Lee")),
        (("ann@a.example", "Ann", "Lee"), ("bob@a.example", "Bob", "Lee")),
        ((None, "Ann", "Lee"), (None, "Ann", "Lee")),
    ],
)
async def test_different_people_are_not_taken_for_duplicates(people: People, one: Any, other: Any) -> None:
    await people.learn(book(1, *one), book(2, *other))

    assert await found(people) == []


async def test_nothing_is_applied_and_the_likelier_comes_first_page_by_page(people: People) -> None:
    await people.learn(
        book(1, "ann@a.example", "Ann", "Lee", "07700 900123"),
        book(2, "ann+x@a.example", "Ann", "Lee", "07700 900123"),
        book(3, "bob@a.example", "Bob", "Moss", "07700 900555"),
        book(4, "robert@b.example", "Bob", "Moss", "07700 900555"),
    )
    everything = await found(people)
    assert everything == [
        (["ann+x@a.example", "ann@a.example"], [SAME_MAILBOX, SAME_PHONE, ALIKE]),
        (["bob@a.example", "robert@b.example"], [SAME_PHONE]),
    ]
    first = await people.ask("/duplicates", limit=1)
    second = await people.ask("/duplicates", limit=1, cursor=first["next"])
    assert [*first["items"], *second["items"]] == (await people.ask("/duplicates"))["items"]
    assert second["next"] is None
    assert await people.rows("SELECT 1 FROM users WHERE merged_into IS NOT NULL") == []


async def test_a_dismissed_suggestion_stays_away(people: People) -> None:
    await people.learn(book(1, "ann@a.example", "Ann", "Lee"), book(2, "ann+x@a.example", "Ann", "Lee"))
    (pair,) = await people.rows("SELECT array_agg(id ORDER BY id DESC) FROM users")
    assert await found(people)

    for _ in range(2):
        await people.post("/duplicates/dismiss", 204, users=[str(user) for user in pair[0]], by="office")

    assert (await people.ask("/duplicates"))["items"] == []
    assert await found(people) == []


async def test_who_was_merged_or_erased_since_the_search_is_suggested_no_more(people: People) -> None:
    await people.learn(book(1, "ann@a.example", "Ann", "Lee"), book(2, "ann+x@a.example", "Ann", "Lee"))
    one, other = [await people.id_of(email) for email in ("ann@a.example", "ann+x@a.example")]
    assert await found(people)
    await people.merge(one, other)
    assert (await people.ask("/duplicates"))["items"] == []
    await people.unmerge(one)
    assert (await people.ask("/duplicates"))["items"]
    await people.erase(one)
    assert (await people.ask("/duplicates"))["items"] == []


async def test_a_phone_a_thousand_people_share_gives_pairs_in_proportion(people: People) -> None:
    """Three at most for each of them: work and list grow with the number of users, not with its square."""
    await people.learn(*(book(n, f"u{n}@{n}.example", "Ann", "Lee", "07700 900123") for n in range(1000)))

    assert (await people.post("/duplicates/find"))["count"] == 3 * 1000 - 6
