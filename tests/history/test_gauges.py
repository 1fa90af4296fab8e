"""What the running gateway tells of a move stays true: after it settled, after decisions, after a rollback."""

import prometheus_client

from bookings_gateway.history.desk import ErrorDesk
from bookings_gateway.history.figures import Sparing
from bookings_gateway.history.verify import verified
from bookings_gateway.history.worker import Gauges
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_history import facts


def told(name: str, **labels: str) -> float | None:
    return prometheus_client.REGISTRY.get_sample_value(f"history_{name}", labels)


async def look(gauges: Gauges) -> None:
    gauges.sparing = Sparing()  # as if it were long ago
    await gauges.look()


async def verify(moved: Moved) -> None:
    async with moved.asking() as others:
        await verified(moved.history, others)


async def test_gauges_follow_what_is_decided_after_the_import_settled(databases: Databases) -> None:
    async with moving(databases, "default", facts(60, seed=41)) as moved:
        gauges = Gauges(moved.gateway)
        await moved.import_all()
        await moved.settle()
        await look(gauges)
        entries = await ErrorDesk(moved.history).find(states=["set_aside"])
        assert told("set_aside_open") == told("bookings", outcome="set_aside") == len(entries) > 0

        await ErrorDesk(moved.history).waive([entry["id"] for entry in entries], by="Olga", reason="samples")
        await look(gauges)
        assert told("set_aside_open") == told("bookings", outcome="set_aside") == 0

        await moved.take_back()
        await look(gauges)
        assert (told("bookings", outcome="published"), told("bookings", outcome="withdrawn")) == (0, 60)


async def test_a_verification_that_finds_differences_is_told_until_one_finds_none(databases: Databases) -> None:
    async with moving(databases, "default", facts(60, seed=41)) as moved:
        gauges = Gauges(moved.gateway)
        await moved.import_all()
        await moved.settle()
        await verify(moved)
        await look(gauges)
        assert told("failed_checks") == 0  # though people have yet to decide on rows

        await moved.rows("payments", "UPDATE payment SET received = received + 1 WHERE received > 0")
        await verify(moved)
        await look(gauges)
        assert (told("failed_checks") or 0) > 0

        await moved.rows("payments", "UPDATE payment SET received = received - 1 WHERE received > 0")
        await verify(moved)
        await look(gauges)
        assert told("failed_checks") == 0


async def test_an_import_that_waits_or_stands_still_is_told(databases: Databases) -> None:
    async with moving(databases, "default", facts(60, seed=41)) as moved:
        gauges = Gauges(moved.gateway)
        seen = []

        async def see() -> None:
            await look(gauges)
            seen.append((told("import_waits"), told("import_stopped", state="paused")))

        importer = await moved.begin()
        await see()
        await importer.say("1,200 messages wait at users")
        await see()
        await moved.history.pause(by="Olga")
        await see()
        await moved.go_on()
        await see()

    assert seen == [(0, 0), (1, 0), (0, 1), (0, 0)]
