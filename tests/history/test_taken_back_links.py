"""Links through imports, rollbacks and live changes: in whatever order and groups users hear of them, all end right."""

import random
from collections.abc import Mapping

import pytest

from shared.events import Event
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_history import facts

# What each booking's row, the gateway and users say of whose it is.
LINKS = """
    SELECT CAST(b.id AS text) AS id, CAST(b.user_id AS text) AS written, CAST(u.user_id AS text) AS known,
           (SELECT outcome FROM gateway.import_item i WHERE i.booking_id = CAST(b.id AS text)) AS outcome,
           (SELECT l.type FROM gateway.event_log l WHERE l.subject = CAST(b.id AS text)
            ORDER BY l.sequence DESC LIMIT 1) AS newest
    FROM public.bookings b LEFT JOIN gateway.booking_user u ON u.booking_id = CAST(b.id AS text)
"""
LINKED = "SELECT booking_id, CAST(user_id AS text) AS user_id FROM booking_link"
ANSWERING = "SELECT count(*) FROM gateway.booking_user WHERE user_id IS NOT NULL"
CHANGES = (
    "UPDATE bookings SET status = 'ATTENDED' WHERE CAST(id AS text) = :id",
    """UPDATE bookings SET "contactDetails" = '{"email": "else@example.com"}' WHERE CAST(id AS text) = :id""",
    """UPDATE bookings SET "contactDetails" = '{}' WHERE CAST(id AS text) = :id""",
)


async def red(moved: Moved) -> set[str]:
    """The checks of rows and people that fail."""
    return {check.name for check in (await moved.verified()).checks if not check.passed} & {"V1", "V3", "V6", "V7"}


async def test_an_import_right_after_a_rollback_keeps_every_link(databases: Databases) -> None:
    async with moving(databases, "default", facts(60, seed=23)) as moved:
        await moved.import_all()
        await moved.settle()
        linked = await moved.value("bookings-gateway", ANSWERING)

        await moved.take_back()
        await moved.import_all()
        await moved.settle()

        assert await moved.value("bookings-gateway", ANSWERING) == linked
        assert await red(moved) == set()


async def test_a_change_before_users_heard_of_the_rollback_keeps_its_link(databases: Databases) -> None:
    async with moving(databases, "default", facts(60, seed=23)) as moved:
        await moved.import_all()
        await moved.settle()
        await moved.take_back()
        (one,) = await moved.rows("bookings-gateway", "SELECT CAST(min(CAST(id AS text)) AS text) AS id FROM bookings")

        await moved.rows("bookings-gateway", CHANGES[0], id=one["id"])
        await moved.settle()

        (link,) = [each for each in await moved.rows("bookings-gateway", LINKS) if each["id"] == one["id"]]
        assert link["known"] == link["written"] is not None


class Shuffled:
    """Mail between gateway and users that comes in any order and groups, with or without the rest."""

    def __init__(self, moved: Moved, choice: random.Random) -> None:
        self._moved = moved
        self._choice = choice
        self._mail: Mapping[str, list[Event]] = {"users": [], "bookings-gateway": []}

    async def deliver(self, *, all_: bool = False) -> None:
        """Hand over some of the mail, or all of it until nobody has any."""
        for sender, receiver in (("bookings-gateway", "users"), ("users", "bookings-gateway")):
            waiting = self._mail[receiver]
            while sent := await self._moved.pump.take(sender):
                waiting += sent
            self._choice.shuffle(waiting)
            while waiting and (all_ or self._choice.random() < 0.6):
                size = self._choice.randint(1, len(waiting))
                await self._moved.pump.give(receiver, waiting[:size])
                del waiting[:size]

    async def step(self) -> None:
        """Do one of the things that go on beside a move."""
        moved, choice = self._moved, self._choice
        match choice.choice(("deliver", "deliver", "write", "capture", "change", "change")):
            case "deliver":
                await self.deliver()
            case "write":
                await moved.write_back.write_due(moved.gateway)
            case "capture":
                await moved.capture.capture_page(moved.gateway, "/bookings-gateway")
            case _:
                rows = await moved.rows("bookings-gateway", "SELECT CAST(id AS text) AS id FROM bookings ORDER BY 1")
                await moved.rows("bookings-gateway", choice.choice(CHANGES), **choice.choice(rows))


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_comes_in_between_every_booking_ends_with_the_link_users_have(
    databases: Databases, seed: int
) -> None:
    choice = random.Random(seed)
    async with moving(databases, "default", facts(12, seed=23)) as moved:
        shuffled = Shuffled(moved, choice)
        for turn in range(choice.randint(1, 4)):
            await (moved.take_back() if turn % 2 else moved.import_all())
            for _ in range(choice.randint(0, 8)):
                await shuffled.step()

        while await moved.capture.capture_page(moved.gateway, "/bookings-gateway"):
            pass
        for _ in range(2):
            await shuffled.deliver(all_=True)
        await moved.write_back.write_due(moved.gateway)

        users = {row["booking_id"]: row["user_id"] for row in await moved.rows("users", LINKED)}
        for link in await moved.rows("bookings-gateway", LINKS):
            is_withdrawn = link["outcome"] == "withdrawn" and link["newest"] == "booking.deleted"
            expected = None if is_withdrawn or link["newest"] is None else users[link["id"]]
            assert (link["known"], link["written"]) == (expected, expected), link
