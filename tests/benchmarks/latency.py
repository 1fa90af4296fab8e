"""How long after a booking the admin's listing shows the customer's new total, through all four services.

The load is open: bookings start on schedule whether or not earlier ones were answered, and each is timed from its
schedule, so a stall counts against every booking it delays. One reader polls the listing, a page that reaches back to
the oldest booking whose total it has not seen, so that it adds the same to the load whatever the rate.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.infrastructure import Infrastructure
from benchmarks.processors import Meter, Pids
from benchmarks.round_trip import bare_hops
from benchmarks.table import Result, Row, Target
from support.system import SERVICES, ServiceProcess, System, system

RATE = 50
WARM_UP = 250
BOOKINGS = WARM_UP + 20 * RATE
CUSTOMERS = 500  # each books again ten seconds later: totals of 1, 2 and 3
POLL_SECONDS = 0.02
MARGIN = 20
PATIENCE_SECONDS = 60.0

_LISTING = "/api/admin/bookings"
_GROUPS = "consumer_group_seconds"


@dataclass
class Run:
    """One load on one gateway; lists are by number of booking, times are this process's clock."""

    client: aiohttp.ClientSession
    start: float = 0.0
    numbers: dict[str, int] = field(default_factory=dict)
    answered: dict[int, float] = field(default_factory=dict)
    seen: dict[int, float] = field(default_factory=dict)
    polls: int = 0

    def schedule(self, number: int) -> float:
        return self.start + number / RATE

    async def book(self, number: int) -> None:
        """Make one booking, at its time."""
        await asyncio.sleep(self.schedule(number) - perf_counter())
        email = f"customer{number % CUSTOMERS}@example.com"
        body = {"contactDetails": {"firstName": "Ann", "lastName": "Lee", "email": email}, "finalAmount": "67.50"}
        async with self.client.post(_LISTING, json=body) as response:
            self.numbers[(await response.json())["id"]] = number
        self.answered[number] = perf_counter()

    async def watch(self) -> None:
        """Poll the listing until the total of every booking was seen there."""
        while len(self.seen) < BOOKINGS:
            started = perf_counter()
            oldest = next(number for number in range(BOOKINGS) if number not in self.seen)
            under_way = max(len(self.numbers) - oldest, 0)
            async with self.client.get(_LISTING, params={"limit": under_way + MARGIN}) as response:
                self._note(await response.json(), perf_counter())
            self.polls += 1
            await asyncio.sleep(max(0.0, started + POLL_SECONDS - perf_counter()))

    def _note(self, rows: Sequence[dict[str, dict[str, int]]], now: float) -> None:
        for row in rows:
            number = self.numbers.get(str(row["id"]))
            if number is None or number in self.seen or not row["user"]:
                continue
            if row["user"]["totalBookings"] > number // CUSTOMERS:
                self.seen[number] = now

    def latencies(self) -> list[float]:
        """Milliseconds from a booking's schedule to its total, the warm-up left out; sorted."""
        return sorted(1000 * (self.seen[number] - self.schedule(number)) for number in range(WARM_UP, BOOKINGS))

    def posting(self) -> list[float]:
        """Milliseconds from a booking's schedule to the gateway's answer, likewise."""
        return sorted(1000 * (self.answered[number] - self.schedule(number)) for number in range(WARM_UP, BOOKINGS))


async def measure(infrastructure: Infrastructure) -> Result:
    """Return the quantiles of the whole path, and the floor of one hop at the same rate."""
    amqp_url = await infrastructure.amqp_url()
    hops = sorted(
        1000 * seconds for seconds in await bare_hops(await infrastructure.databases.create(), amqp_url, rate=RATE)
    )
    with TemporaryDirectory() as logs:
        async with system(infrastructure.databases, amqp_url, Path(logs)) as whole:
            meter = Meter(groups(infrastructure, whole))
            run = await load(whole)
            spent, busy = meter.spent(), meter.busy()
            transactions = {name: await transaction_milliseconds(whole.services[name]) for name in SERVICES}
    return report(run, hops, [*cost_notes(spent, busy=busy), transaction_note(transactions)])


def groups(infrastructure: Infrastructure, whole: System) -> dict[str, Pids]:
    """Who may spend processor time on a booking."""
    services = {name: service.pids for name, service in whole.services.items()}
    return {
        **services,
        "PostgreSQL": infrastructure.postgres.pids,
        "RabbitMQ": infrastructure.rabbit.pids,
        "this load": lambda: [os.getpid()],
    }


async def load(whole: System) -> Run:
    """Offer the bookings and watch the listing."""
    connections = aiohttp.TCPConnector(keepalive_timeout=2)  # before the server's 5 s, or a request meets a close
    async with aiohttp.ClientSession(
        whole.gateway.url, connector=connections, headers=whole.staff, raise_for_status=True
    ) as client:
        run = Run(client, start=perf_counter() + 0.2)
        async with asyncio.timeout(BOOKINGS / RATE + PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
            tasks.create_task(run.watch())
            for number in range(BOOKINGS):
                tasks.create_task(run.book(number))
        return run


async def transaction_milliseconds(service: ServiceProcess) -> float:
    """Return how long the service's consumer transactions took on average, by its own metrics."""
    async with aiohttp.ClientSession() as client, client.get(f"{service.url}/metrics") as response:
        metrics = await response.text()
    samples = {
        sample.name: sample.value for family in text_string_to_metric_families(metrics) for sample in family.samples
    }
    return 1000 * samples[f"{_GROUPS}_sum"] / (samples[f"{_GROUPS}_count"] or 1)


def cost_notes(spent: dict[str, float], *, busy: float) -> list[str]:
    """Say who spent the processors' time."""
    each = ", ".join(f"{name} {1000 * seconds / BOOKINGS:.1f}" for name, seconds in spent.items())
    return [
        f"Processor time per booking, ms: {each}; together {1000 * sum(spent.values()) / BOOKINGS:.1f}. "
        f"The machine's {os.cpu_count()} processors were {busy:.0%} busy.",
    ]


def transaction_note(transactions: dict[str, float]) -> str:
    """Say how long groups took to apply."""
    each = ", ".join(f"{name} {milliseconds:.0f}" for name, milliseconds in transactions.items())
    return f"A consumer's transaction on average, ms: {each}."


def report(run: Run, hops: Sequence[float], where: Sequence[str]) -> Result:
    """Put the quantiles beside those of one bare hop."""
    path, posting = run.latencies(), run.posting()
    rows = [
        Row(f"total in the listing, {name}", quantile(path, share), quantile(hops, share), target, unit="ms")
        for name, share, target in (
            ("p50", 0.5, None),
            ("p95", 0.95, Target(at_most=150)),
            ("p99", 0.99, None),
            ("max", 1.0, None),
        )
    ]
    seconds = BOOKINGS / RATE
    return Result(
        rows,
        [
            f"{RATE} bookings/s offered for {seconds - WARM_UP / RATE:.0f} s after a warm-up, new and returning "
            f"customers; timed from the schedule; the listing looked at {run.polls / seconds:.0f} times a second.",
            "Floor: one bare commit, publish, confirm, consume. The path has seven commits and three such hops: "
            "booking, captured change → users → stats → gateway.",
            f"The gateway's answer to the POST: p50 {quantile(posting, 0.5):.0f} ms, p95 {quantile(posting, 0.95):.0f} "
            "ms.",
            *where,
        ],
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the sorted values lie."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
