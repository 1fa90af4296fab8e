"""Merging across the services, and taking it back: as if it had never been."""

from typing import Any

from support import stripe_payloads as stripe
from support.bearer import BEARER
from support.office import Office
from support.waiting import eventually


class Pair:
    """Two users who book and pay alike in every pair, so that pairs can be compared."""

    def __init__(self, office: Office, name: str) -> None:
        self.office = office
        self.name = name
        self.bookings: dict[str, list[str]] = {"one": [], "other": []}
        self.users: dict[str, str] = {}

    async def books_and_pays(self, who: str, amount: int, *, day: int) -> None:
        """Book, and pay half of it."""
        contact = {"firstName": who, "lastName": self.name, "email": f"{who}@{self.name}.example"}
        created = f"2026-01-{day:02}T10:00:00.000Z"
        booking_id = await self.office.book(contact, f"{amount}.00", createdAt=created)
        self.bookings[who].append(booking_id)
        await self.office.pay(booking_id, amount * 50, f"pi_{self.name}_{who}_{day}", created=stripe.START + day)
        self.users[who] = await self.office.user_of(booking_id)

    async def shown(self, who: str) -> dict[str, Any]:
        """Return everything every service shows of one of them, without what differs between pairs."""
        office, user_id = self.office, self.users[who]
        detail = await office.get(f"/users/{user_id}")
        own = [*self.bookings["one"], *self.bookings["other"]]
        legacy = {row["id"]: row["user"] for row in await office.get("/bookings")}
        listed = await office.get("/users", search=self.name)
        return {
            "listed": user_id in [user["id"] for user in listed["data"]],
            "sums": [detail[name] for name in ("totalBookings", "totalSpent", "totalPaid", "totalRefunded")],
            "dates": [detail[name] for name in ("firstBookingDate", "lastBookingDate", "createdAt")],
            "name": detail["name"].replace(self.name, ""),
            "emails": [email.split("@")[0] for email in detail["emails"]],
            "merged_from": len(detail["mergedFrom"]),
            "unavailable": detail["unavailable"],
            "bookings": [own.index(row["id"]) for row in (await office.get(f"/users/{user_id}/bookings"))["data"]],
            "legacy": [
                (own.index(id_), user["totalBookings"], user["totalSpent"])
                for id_, user in legacy.items()
                if id_ in own and user["id"] == user_id
            ],
            "payments": [row["received"] for row in (await office.get(f"/users/{user_id}/payments"))["data"]],
            "by_payments": sorted(await self._received(user_id)),
            "notes": [note["text"] for note in (await office.get(f"/users/{user_id}/notes"))["data"]],
            "activity": await self._activity(user_id, own),
        }

    async def _received(self, user_id: str) -> list[str]:
        url = f"{self.office.whole.payments.url}/internal/users/{user_id}/payments"
        return [row["received"] for row in (await self.office.http.get(url, headers=BEARER)).json()["data"]]

    async def _activity(self, user_id: str, own: list[str]) -> list[tuple[str, int, str | None]]:
        lines = (await self.office.get(f"/users/{user_id}/activity", limit=200))["data"]
        told = {(line["kind"], own.index(line["bookingId"]), line["amount"]) for line in lines if line["bookingId"]}
        return sorted(told, key=str)  # a payment is told once more when its booking becomes somebody's: chance

    async def all_shown(self) -> dict[str, Any]:
        return {who: await self.shown(who) for who in self.users}


async def test_unmerged_users_are_as_if_they_had_never_been_merged_whatever_came_between(office: Office) -> None:
    pair, control = Pair(office, "merlow"), Pair(office, "contrand")
    for each in (pair, control):
        await each.books_and_pays("one", 100, day=1)
        await each.books_and_pays("other", 40, day=2)
        await office.post(f"/users/{each.users['other']}/notes", {"text": "before"}, status=201)
    await office.settled()
    one, other = pair.users["one"], pair.users["other"]
    before = await told_alike(pair, control)

    preview = await office.get(f"/users/{other}/merge-preview", into=one)
    assert preview["totals"][0]["totalSpent"] == "40.00"
    await office.post(f"/users/{other}/merge", {"into": one, "reason": "the same"})
    for each in (pair, control):
        await each.books_and_pays("one", 7, day=3)
        await each.books_and_pays("other", 9, day=4)
        await office.post(f"/users/{each.users['other']}/notes", {"text": "between"}, status=201)
    await office.settled()

    async def whole_person() -> bool:
        shown = (await office.get(f"/users/{one}"))["totalSpent"]
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

    await office.post(f"/users/{other}/unmerge", {"reason": "two sisters"})
    await office.settled()
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
