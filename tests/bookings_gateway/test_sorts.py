"""Whatever a list shows it can be sorted by, in both directions; lists of one user have filters too."""

from typing import Any

import pytest

from bookings_gateway import customer_records as records
from bookings_gateway.customers import SORTS
from bookings_gateway.schemas_admin import BookingItem, PaymentItem, UserItem
from support.admin import Admin, person, totals, user_id
from support.events import booking, linked, payment

ANN, ZOE = "Ann Lee", "Zoe Winter"


@pytest.fixture
async def office(admin: Admin) -> Admin:
    """Ann with three bookings, two of them paid, and Zoe with one; a payment of nobody's."""
    await admin.heard(person(ANN), person(ZOE), totals(ANN))
    for name, ids in ((ANN, ("b1", "b2", "b3")), (ZOE, ("b4",))):
        for id_ in ids:
            first, last = name.split()
            await admin.heard(
                booking(id_, contact={"first_name": first, "last_name": last}), linked(id_, user_id(name))
            )
    await admin.heard(booking("b3", 2, created_at=None, status="CANCELLED", amount="9.00"))
    for number, booked in enumerate(("b1", "b2", "b4", None)):
        await admin.heard(payment(f"00000000-0000-4000-8000-0000000000f{number}", booked, received=1000 * number))
    return admin


def names(model: type[UserItem | BookingItem | PaymentItem]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


async def pages(admin: Admin, path: str, total: int, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for offset in range(total):
        page = await admin.get(path, limit=1, offset=offset, **query)
        assert page["total"] == total
        found += page["data"]
    return found


@pytest.mark.parametrize("sort", names(UserItem))
async def test_users_are_sorted_by_whatever_they_show(office: Admin, sort: str) -> None:
    assert sort in SORTS
    up, down = [await pages(office, "/users", 2, sort=sort, order=order) for order in ("asc", "desc")]
    assert up == down[::-1]


@pytest.mark.parametrize("sort", names(PaymentItem))
@pytest.mark.parametrize(("path", "total"), [("/payments", 4), (f"/users/{user_id(ANN)}/payments", 2)])
async def test_payments_are_sorted_by_whatever_they_show(office: Admin, path: str, total: int, sort: str) -> None:
    up, down = [await pages(office, path, total, sort=sort, order=order) for order in ("asc", "desc")]

    assert [each["id"] for each in up] == [each["id"] for each in down][::-1]
    assert len({each["id"] for each in up}) == total
    if all(isinstance(each[sort], str | None) for each in up) and sort not in {"amount", "received", "net"}:
        shown = [(each[sort] or "").casefold() for each in up]
        assert shown == sorted(shown)


@pytest.mark.parametrize("sort", names(BookingItem))
async def test_bookings_of_a_user_are_sorted_by_whatever_they_show(office: Admin, sort: str) -> None:
    up, down = [await pages(office, f"/users/{user_id(ANN)}/bookings", 3, sort=sort, order=o) for o in ("asc", "desc")]

    for found in (up, down[::-1]):
        shown = [(each[sort] is not None, float(each[sort] or 0) if sort == "finalAmount" else each[sort] or "")
                 for each in found]  # fmt: skip
        assert shown == sorted(shown)


async def test_bookings_and_payments_of_a_user_are_filtered(office: Admin) -> None:
    path = f"/users/{user_id(ANN)}"
    cancelled = await office.get(f"{path}/bookings", status="cancelled")
    assert ([each["id"] for each in cancelled["data"]], cancelled["total"]) == (["b3"], 1)
    assert (await office.get(f"{path}/bookings", status="PAID"))["total"] == 0
    assert (await office.get(f"{path}/payments", status="succeeded"))["total"] == 2
    assert (await office.get(f"{path}/payments", status="failed"))["total"] == 0


async def test_too_many_payments_to_sort_are_refused_with_the_way_out(
    office: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_SORTED", 3)

    refused = await office.client.get("/api/admin/payments", params={"sort": "customerName"})

    assert (refused.status_code, "4 payments match" in refused.json()["detail"]) == (422, True)
    assert (await office.get("/payments", sort="customerName", search="winter"))["total"] == 1
    assert (await office.get("/payments", sort="amount"))["total"] == 4
