"""Nothing waits anywhere: V9 and the checklist believe no service that does not say so, and forget no queue."""

from collections.abc import AsyncIterator

import httpx
import pytest

from bookings_gateway.history.checklist import Look, do_step, step_named
from bookings_gateway.history.others import Others
from bookings_gateway.history.verify_queues import waiting
from shared.topology import Topology
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_history import facts

SERVICES = ("users", "payments", "stats", "bookings-gateway")
GAUGES = ("outbox_rows", "dead_letters_open", "unrouted_messages")


def lines(service: str) -> dict[str, int]:
    """What a service tells of itself while nothing waits."""
    topology = Topology(service, ())
    queues = [topology.events, topology.bulk, *topology.retries]
    return dict.fromkeys([*GAUGES, *(f'queue_depth{{queue="{queue}"}}' for queue in queues)], 0)


class Fleet:
    """Services by what they tell; ``ill`` are not ready."""

    def __init__(self) -> None:
        self.told = {service: lines(service) for service in SERVICES}
        self.ill: set[str] = set()

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/health/ready":
            return httpx.Response(503 if request.url.host in self.ill else 200)
        told = self.told[request.url.host]
        return httpx.Response(200, text="".join(f"{name} {value}\n" for name, value in told.items()))

    async def look(self, moved: Moved) -> tuple[str, bool]:
        """What V9 shows, and whether the checklist finds nobody gave anything up."""
        async with httpx.AsyncClient(transport=httpx.MockTransport(self.answer)) as client:
            others = Others({service: f"http://{service}" for service in SERVICES}, client)
            check = (await waiting(moved.gateway, others)).check()
            assert check.passed == (check.actual == "none waiting")
            quiet, _ = await do_step(Look(moved.history, others), step_named("error-logs"), name=None, note=None)
        return check.actual, quiet


@pytest.fixture
async def moved(databases: Databases) -> AsyncIterator[Moved]:
    async with moving(databases, "default", facts(20, seed=7)) as moved:
        yield moved


async def test_nothing_waits_when_everybody_says_so(moved: Moved) -> None:
    assert await Fleet().look(moved) == ("none waiting", True)


@pytest.mark.parametrize("service", SERVICES)
async def test_who_tells_nothing_proves_nothing(moved: Moved, service: str) -> None:
    fleet = Fleet()
    fleet.told[service] = {}
    shown, quiet = await fleet.look(moved)

    assert shown.count("not told") == len(GAUGES) + 3  # live, bulk and retries
    assert f"{service}: dead_letters_open not told" in shown
    assert not quiet


@pytest.mark.parametrize("service", SERVICES)
async def test_what_waits_in_any_queue_is_found_and_is_no_failure_yet(moved: Moved, service: str) -> None:
    for queue in (f"{service}.events", f"{service}.bulk", f"{service}.retry.5m"):
        fleet = Fleet()
        fleet.told[service][f'queue_depth{{queue="{queue}"}}'] = 2
        assert await fleet.look(moved) == (f"{service}: queue_depth {queue} 2", True)


async def test_dead_letters_are_found_wherever_they_are(moved: Moved) -> None:
    fleet = Fleet()
    fleet.told["bookings-gateway"]["dead_letters_open"] = 1
    assert await fleet.look(moved) == ("bookings-gateway: dead_letters_open 1", False)


async def test_a_change_no_event_could_be_made_of_is_found(moved: Moved) -> None:
    broken = "INSERT INTO booking_change (op, booking_id, row, changed_at) VALUES ('U', 'b', '{\"no\"\\: 1}', now())"
    await moved.rows("bookings-gateway", broken)
    await moved.settle()

    assert await Fleet().look(moved) == ("gateway: failed 1", False)


async def test_depths_nobody_could_measure_now_are_not_believed(moved: Moved) -> None:
    fleet = Fleet()
    fleet.ill = {"stats"}
    shown, quiet = await fleet.look(moved)

    assert "stats: queue_depth stats.events not told" in shown
    assert not quiet
