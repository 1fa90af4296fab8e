"""Users listed: every sort, any page, filters, totals that are right, merges resolved."""

import csv
import io
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.counts import put_counts_together
from bookings_gateway.customers import SORTS
from support.admin import Admin, erased, person, totals, user_id
from support.events import EPOCH, merged, payment
from support.legacy_table import fetch

PEOPLE = ["Ann Lee", "bob Ángel", "Cleo Zorn", "Dan Äbel", "Eve Orr"]


@pytest.fixture
async def five(admin: Admin) -> Admin:
    """Five users, each with more of everything than the one before; the last without totals."""
    for number, name in enumerate(PEOPLE[:4]):
        day = EPOCH.replace(day=number + 1).isoformat()
        dates: dict[str, Any] = {"first_booking_date": day, "last_booking_date": day, "last_activity_date": day}
        company: dict[str, Any] = {"company_name": f"Firm {number}", "phone": f"+4477009001{number}"}
        await admin.heard(person(name, **company), totals(name, bookings=number + 1, spent=f"{number}9.50", **dates))
    await admin.heard(person(PEOPLE[4], created_at=EPOCH.replace(year=2025).isoformat()))
    return admin


async def test_a_user_is_shown_with_exactly_the_declared_fields(five: Admin) -> None:
    user = (await five.get("/users", search="ann lee"))["data"][0]

    assert user == {
        "id": user_id("Ann Lee"),
        "email": "ann.lee@example.com",
        "name": "Ann Lee",
        "firstName": "Ann",
        "lastName": "Lee",
        "phone": "+44770090010",
        "companyName": "Firm 0",
        "placeholder": False,
        "totalBookings": 1,
        "totalSpent": "9.50",
        "totalPaid": "9.50",
        "totalRefunded": "0.00",
        "firstBookingDate": "2026-01-01T00:00:00.000Z",
        "lastBookingDate": "2026-01-01T00:00:00.000Z",
        "lastActivityDate": "2026-01-01T00:00:00.000Z",
        "createdAt": "2026-01-01T00:00:00.000Z",
    }


@pytest.mark.parametrize("sort", SORTS)
async def test_every_sort_gives_each_user_once_in_both_directions(five: Admin, sort: str) -> None:
    async def all_pages(order: str) -> list[str]:
        pages = [await five.names(sort=sort, order=order, limit=2, offset=offset) for offset in (0, 2, 4)]
        return [name for page in pages for name in page]

    up, down = await all_pages("asc"), await all_pages("desc")

    assert sorted(up) == sorted(PEOPLE)
    assert down == up[::-1]


async def test_names_are_sorted_without_regard_to_case_and_accents(five: Admin) -> None:
    assert await five.names(sort="lastName", order="asc") == [
        "Dan Äbel",
        "bob Ángel",
        "Ann Lee",
        "Eve Orr",
        "Cleo Zorn",
    ]


async def test_what_is_missing_is_the_smallest(five: Admin) -> None:
    assert (await five.names(sort="companyName", order="asc"))[0] == "Eve Orr"
    assert (await five.names(sort="companyName", order="desc"))[-1] == "Eve Orr"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"hasBookings": True, "sort": "name", "order": "asc"}, PEOPLE[:4]),
        ({"hasBookings": False}, PEOPLE[4:]),
        ({"placeholder": True}, []),
        ({"minSpent": "19.50", "maxSpent": "29.50", "sort": "name", "order": "asc"}, PEOPLE[1:3]),
        ({"createdTo": "2026-01-01T00:00:00Z"}, PEOPLE[4:]),
        ({"lastActivityFrom": "2026-01-04T00:00:00Z"}, [PEOPLE[3]]),
        ({"search": "firm 2"}, [PEOPLE[2]]),
        ({"search": "angel", "hasBookings": True}, [PEOPLE[1]]),
        ({"search": "ang"}, [PEOPLE[1]]),
        ({"search": "!"}, []),
    ],
)
async def test_filters_hold_together_and_the_total_counts_them(
    five: Admin, query: dict[str, Any], names: list[str]
) -> None:
    page = await five.get("/users", limit=1, **query)

    assert page["total"] == len(names)
    assert await five.names(**query) == names


async def test_the_total_follows_every_change(admin: Admin) -> None:
    seen = []
    for change in (
        [person("Ann Lee"), person("Bob Orr")],
        [totals("Cleo Zorn")],
        [merged(user_id("Ann Lee"), user_id("Bob Orr"))],
        [merged(user_id("Ann Lee"), None, 2), person("Cleo Zorn", placeholder=True)],
        [erased("Bob Orr")],
    ):
        await admin.heard(*change)
        page = await admin.get("/users")
        assert page["total"] == len(page["data"])
        seen.append(page["total"])

    assert seen == [2, 2, 1, 3, 2]
    assert (await admin.get("/users", placeholder=True))["total"] == 1


async def test_a_merged_user_is_found_as_the_one_it_counts_as(admin: Admin) -> None:
    ann, bob, cleo = "Ann Lee", "Bob Orr", "Cleo Zorn"
    await admin.heard(merged(user_id(bob), user_id(cleo)), merged(user_id(ann), user_id(bob)))
    await admin.heard(person(ann), person(bob), person(cleo))

    assert await admin.names() == [cleo]
    assert await admin.names(search="ann") == [cleo]
    assert (await admin.get(f"/users/{user_id(ann)}"))["mergedInto"] == user_id(cleo)
    assert sorted((await admin.get(f"/users/{user_id(cleo)}"))["mergedFrom"]) == sorted([user_id(ann), user_id(bob)])

    await admin.heard(merged(user_id(bob), None, 2))
    assert sorted(await admin.names()) == [bob, cleo]
    assert await admin.names(search="ann") == [bob]


async def test_the_export_holds_every_user_and_no_formula(admin: Admin) -> None:
    names = ["=HYPERLINK(1)", "+44", "-1", "@SUM(A1)", 'Said "so"', "Two\nlines, one"]
    await admin.heard(*(person(f"N{n} Lee", first_name=name) for n, name in enumerate(names)))

    response = await admin.client.get("/api/admin/users/export", params={"sort": "email", "order": "asc"})

    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    lines = response.text.split("\r\n")
    assert lines[0].startswith("id,email,name,firstName")
    assert [line.split(",")[3] for line in lines[1:5]] == ["'=HYPERLINK(1)", "'+44", "'-1", "'@SUM(A1)"]
    assert '"Said ""so"""' in lines[5]
    assert '"Two\nlines, one"' in response.text


async def test_an_amount_below_zero_stays_a_number_in_the_export(admin: Admin) -> None:
    await admin.heard(person("Ann Lee"), totals("Ann Lee", spent="-20.00"))

    response = await admin.client.get("/api/admin/users/export")

    (row,) = csv.DictReader(io.StringIO(response.text))
    assert row["totalSpent"] == "-20.00"


async def test_the_count_stays_right_when_its_rows_are_put_together(admin: Admin, gateway_engine: AsyncEngine) -> None:
    for number in range(70):
        await admin.heard(person(f"P{number} Lee"), payment(f"p{number}", None))
    await admin.heard(payment("p1", None, 2, refunded=1000), payment("p1", None))
    await put_counts_together(gateway_engine)

    assert (await admin.get("/users"))["total"] == 70
    assert (await admin.get("/payments"))["total"] == 70
    assert await fetch(gateway_engine, "SELECT count(*) FROM customer_count") == [(1,)]
    assert await fetch(gateway_engine, "SELECT count(*) FROM payment_count") == [(1,)]


@pytest.mark.parametrize("path", ["/users", "/users/export", "/payments", "/payments/export"])
async def test_a_parameter_nobody_knows_is_refused_by_name(admin: Admin, path: str) -> None:
    response = await admin.client.get(f"/api/admin{path}", params={"sotr": "name"})

    assert response.status_code == 422
    assert response.json()["errors"][0]["where"] == "query.sotr"


@pytest.mark.parametrize("path", ["/users/export", "/payments/export"])
async def test_an_export_says_how_old_it_is(admin: Admin, path: str) -> None:
    await admin.heard(person("Ann Lee"))

    assert "users=2" in (await admin.client.get(f"/api/admin{path}")).headers["X-Read-Model-Heard"]
