"""The admin's lookups on a million users and three million bookings, beside a scan of the legacy table's JSON.

``ADMIN_USERS`` and ``ADMIN_BOOKINGS`` make it smaller or larger; ``ADMIN_DATABASE`` names a database to keep: filled
the first time, measured again the next. The old server's figure is one scan for the first of the terms. Fill it on a
file system in memory (`.local/benchmarks` may be a link) where disks are slow.
"""

import os
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.admin_data import fill
from benchmarks.admin_terms import SAMPLE, Someone, kinds
from benchmarks.infrastructure import Infrastructure
from benchmarks.processors import Meter
from benchmarks.table import Result, Row, Target
from bookings_gateway.anchors import count_again
from bookings_gateway.customers import SORTS
from bookings_gateway.main import SEARCH_PATH
from shared.database import create_engine
from support.admin import admin_app, take_in
from support.events import event
from support.fake_services import FakeServices

USERS = int(os.environ.get("ADMIN_USERS", "1000000"))
BOOKINGS = int(os.environ.get("ADMIN_BOOKINGS", "3000000"))
SAMPLES = 200
PAGES = 6  # of each sort and direction
WRITES = 2_000

# How the old server looked somebody up, and how it would have had to list users.
_OLD_SEARCH = text(
    """
    SELECT * FROM bookings b WHERE concat_ws(' ', b."contactDetails" ->> 'firstName', b."contactDetails" ->> 'lastName',
        b."contactDetails" ->> 'email', b."contactDetails" ->> 'phone', b."contactDetails" ->> 'company',
        b."bookingReference") ILIKE :term
    ORDER BY "createdAt" DESC LIMIT 50
    """
)
_OLD_USERS = text(
    """
    SELECT lower("contactDetails" ->> 'email') AS email, count(*) AS bookings, sum("finalAmount") AS spent
    FROM bookings GROUP BY 1 ORDER BY spent DESC, email LIMIT 50 OFFSET :offset
    """
)
_OLD_USER = text("""SELECT * FROM bookings WHERE lower("contactDetails" ->> 'email') = :email""")
# So many have changed that their places are about to be counted again: two rows each of what moved.
_MOVE = text(
    """
    UPDATE customer SET total_spent = total_spent + 1, totals_sequence = totals_sequence + 1
    WHERE user_id IN (SELECT user_id FROM customer TABLESAMPLE SYSTEM (5) WHERE listed LIMIT :users)
    """
)


NOTES = (
    "Figures are the slowest of twenty requests, each for another person or page, after one to warm up; caches are",
    "warm as far as they reach. CPU/event is the gateway's, with the client's in its process, and PostgreSQL's. The",
    "floor is one scan of the legacy table. Notes, communications and activity come from faked services.",
)


@dataclass(frozen=True)
class Timed:
    """Milliseconds of the slowest of twenty and in the middle; processor time per request; how busy the machine was."""

    p95: float
    p50: float
    cpu_microseconds: float
    load: float

    def row(self, what: str, old: float | None = None, *, most: float | None = None) -> Row:
        """Return the line of the table; an old figure is to be undercut by four fifths."""
        target = Target(at_most=most, most_of_floor=0.2 if old else None) if most else None
        said = f"{what}, p95 (p50 {self.p50:.1f}, load {self.load:.1f})"
        return Row(said, self.p95, old, target, unit="ms", cpu=self.cpu_microseconds)


@dataclass(frozen=True)
class Desk:
    """A client of the admin API, its database, and a meter of PostgreSQL's processor time."""

    client: httpx.AsyncClient
    engine: AsyncEngine
    postgres: Meter

    async def timed(self, requests: Sequence[tuple[str, dict[str, Any]]]) -> Timed:
        """Make one request after the other."""
        await self._get(*requests[0])
        busy = process_time() + self.postgres.spent()["postgres"]
        times = [await _milliseconds(self._get(path, query)) for path, query in requests]
        busy = process_time() + self.postgres.spent()["postgres"] - busy
        return Timed(quantiles(times, n=20)[-1], median(times), busy / len(times) * 1e6, os.getloadavg()[0])

    async def _get(self, path: str, query: dict[str, Any]) -> None:
        response = await self.client.get(f"/api/admin{path}", params=query)
        assert response.status_code == 200, response.text

    async def scan(self, query: Any, bound: dict[str, Any]) -> float:
        """Return how many milliseconds a query on the legacy table takes."""

        async def run() -> None:
            async with self.engine.connect() as connection:
                (await connection.execute(query, bound)).all()

        return await _milliseconds(run())


async def measure(infrastructure: Infrastructure) -> Result:
    """Return what each lookup takes."""
    url, filled = await _database(infrastructure)
    engine = create_engine(url, name="benchmark", search_path=SEARCH_PATH)
    transport = httpx.ASGITransport(admin_app(engine, FakeServices()))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        desk = Desk(client, engine, Meter({"postgres": infrastructure.postgres.pids}))
        async with engine.connect() as connection:
            people = (await connection.execute(SAMPLE, {"samples": SAMPLES})).all()
        rows = [
            *await _searches(desk, people),
            *await _lists(desk),
            *await _details(desk, people),
            *await _writes(engine, people),
        ]
    await engine.dispose()
    database = url.rpartition("/")[2]
    size = f"{USERS:,} users, {BOOKINGS:,} bookings, filled in {filled:.0f} s (database {database})."
    return Result(rows, [size, *NOTES])


async def _database(infrastructure: Infrastructure) -> tuple[str, float]:
    """Return the URL of a filled database, and how many seconds filling it took."""
    kept = os.environ.get("ADMIN_DATABASE")
    if kept and await infrastructure.databases.exists(kept):
        return infrastructure.postgres.admin_url(kept), 0.0
    url = await infrastructure.databases.create("bookings_gateway", name=kept)
    return url, await fill(url, USERS, BOOKINGS)


async def _searches(desk: Desk, people: Sequence[Someone]) -> list[Row]:
    rows = []
    for kind, of in kinds(Random(7)).items():
        terms = [term for one in people if (term := of(one))]
        old = await desk.scan(_OLD_SEARCH, {"term": f"%{terms[0]}%"})
        found = await desk.timed([("/search", {"q": term}) for term in terms])
        rows.append(found.row(f"search by {kind}", old, most=30))
    by_surname = [("/users", {"search": one.last_name, "sort": "lastActivityDate"}) for one in people]
    return [*rows, (await desk.timed(by_surname)).row("user list, search by surname, sorted and counted")]


async def _lists(desk: Desk) -> list[Row]:
    old = await desk.scan(_OLD_USERS, {"offset": 0})
    counting = await _count_places(desk.engine)
    any_page = await desk.timed(_pages(Random(11)))
    async with desk.engine.begin() as connection:
        await connection.execute(_MOVE, {"users": USERS // 40})
    after_moves = await desk.timed(_pages(Random(12)))
    payments = await desk.timed([("/payments", {})] * 20)
    return [
        any_page.row("user list, any page, every sort, both directions", old, most=50),
        after_moves.row("the same when places are about to be counted again", old, most=50),
        (await desk.timed(_filtered() * 3)).row("user list, filtered by ranges, first pages", old),
        payments.row("first page of payments"),
        Row("counting everybody's place in every order again", counting, unit="ms"),
    ]


def _pages(random: Random) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("/users", {"sort": sort, "order": order, "offset": random.randrange(USERS), "limit": 50})
        for sort in SORTS
        for order in ("asc", "desc")
        for _ in range(PAGES)
    ]


def _filtered() -> list[tuple[str, dict[str, Any]]]:
    filters: list[dict[str, Any]] = [
        {"hasBookings": True, "sort": "totalSpent"},
        {"minSpent": "1000", "sort": "lastActivityDate"},
        {"createdFrom": "2020-01-01T00:00:00Z", "sort": "name", "order": "asc"},
        {"lastActivityFrom": "2024-01-01T00:00:00Z", "minSpent": "500", "sort": "totalSpent"},
    ]
    return [("/users", {**query, "limit": 50, "offset": offset}) for query in filters for offset in (0, 50, 1000)]


async def _count_places(engine: AsyncEngine) -> float:
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM customer_anchor"))
    return await _milliseconds(count_again(engine, SORTS.values()))


async def _details(desk: Desk, people: Sequence[Someone]) -> list[Row]:
    old = await desk.scan(_OLD_USER, {"email": people[0].email})
    details = await desk.timed([(f"/users/{one.user_id}", {}) for one in people])
    return [details.row("user with all parts", old, most=60)]


async def _writes(engine: AsyncEngine, people: Sequence[Someone]) -> list[Row]:
    """Apply totals as the consumer does, in groups."""
    everybody = [people[n % len(people)].user_id for n in range(WRITES)]
    totals = [
        event("user_totals.changed", user_id, n + 2, {
            "user_id": user_id, "total_bookings": n, "last_activity_date": "2026-01-01T00:00:00Z",
            "currencies": [{"currency": "GBP", "total_spent": f"{n}.00", "total_paid": "0", "total_refunded": "0"}],
        })
        for n, user_id in enumerate(everybody)
    ]  # fmt: skip
    return [Row("a change of totals taken in", await _per_event(engine, totals), unit="µs")]


async def _per_event(engine: AsyncEngine, events: Sequence[Any]) -> float:
    began = perf_counter()
    for start in range(0, len(events), 100):
        await take_in(engine, events[start : start + 100])
    return (perf_counter() - began) / len(events) * 1e6


async def _milliseconds(work: Awaitable[None]) -> float:
    began = perf_counter()
    await work
    return (perf_counter() - began) * 1000
