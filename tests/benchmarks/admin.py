"""The admin's lookups on a million users and three million bookings, beside a scan of the legacy table's JSON.

``ADMIN_USERS`` and ``ADMIN_BOOKINGS`` make it smaller or larger; ``ADMIN_DATABASE`` names a database to keep: filled
the first time, measured again the next. The old server's figure is one scan for the first of the terms.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean, quantiles
from time import perf_counter
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.admin_data import fill
from benchmarks.infrastructure import Infrastructure
from benchmarks.table import Result, Row, Target
from bookings_gateway.customers import SORTS
from bookings_gateway.main import SEARCH_PATH
from shared.database import create_engine
from support.admin import admin_app, take_in
from support.events import event
from support.fake_services import FakeServices

USERS = int(os.environ.get("ADMIN_USERS", "1000000"))
BOOKINGS = int(os.environ.get("ADMIN_BOOKINGS", "3000000"))
SAMPLES = 100
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
_SAMPLE = text(
    """
    SELECT c.first_name, c.last_name, c.email, c.phone, c.company_name, CAST(c.user_id AS text) AS user_id,
           b.booking_reference, p.stripe_payment_intent_id AS intent
    FROM (SELECT * FROM customer TABLESAMPLE SYSTEM (5) ORDER BY random() LIMIT :samples) c
    CROSS JOIN LATERAL (SELECT booking_id FROM booking_user u WHERE u.user_id = c.user_id LIMIT 1) l
    JOIN booking_summary b USING (booking_id) LEFT JOIN booking_payment p USING (booking_id)
    """
)

Someone = Any


@dataclass(frozen=True)
class Timed:
    """Milliseconds of the slowest of twenty, and on average."""

    p95: float
    average: float


async def measure(infrastructure: Infrastructure) -> Result:
    """Return what each lookup takes."""
    url, filled = await _database(infrastructure)
    engine = create_engine(url, name="benchmark", search_path=SEARCH_PATH)
    transport = httpx.ASGITransport(admin_app(engine, FakeServices()))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        async with engine.connect() as connection:
            people = (await connection.execute(_SAMPLE, {"samples": SAMPLES})).all()
        rows = [
            *await _searches(client, engine, people),
            *await _lists(client, engine),
            *await _details(client, engine, people),
            *await _writes(engine, people),
        ]
    await engine.dispose()
    database = url.rpartition("/")[2]
    return Result(rows, [f"{USERS:,} users, {BOOKINGS:,} bookings, filled in {filled:.0f} s (database {database})."])


async def _database(infrastructure: Infrastructure) -> tuple[str, float]:
    """Return the URL of a filled database, and how many seconds filling it took."""
    kept = os.environ.get("ADMIN_DATABASE")
    if kept and await infrastructure.databases.exists(kept):
        return infrastructure.postgres.admin_url(kept), 0.0
    url = await infrastructure.databases.create("bookings_gateway", name=kept)
    return url, await fill(url, USERS, BOOKINGS)


def _kinds(random: Random) -> dict[str, Callable[[Someone], str | None]]:
    def swapped(word: str) -> str:
        at = random.randrange(1, max(len(word) - 2, 2))
        return f"{word[:at]}{word[at + 1 : at + 2]}{word[at]}{word[at + 2 :]}"

    return {
        "surname": lambda one: one.last_name,
        "first and last name": lambda one: f"{one.first_name} {one.last_name}",
        "beginnings of both": lambda one: f"{one.first_name[:3]} {one.last_name[:4]}",
        "beginning of a surname": lambda one: one.last_name[:3],
        "mistyped surname": lambda one: swapped(one.last_name),
        "mistyped first and last name": lambda one: f"{one.first_name} {swapped(one.last_name)}",
        "e-mail": lambda one: one.email,
        "beginning of an e-mail": lambda one: one.email.split("@")[0],
        "phone as +44": lambda one: one.phone and f"+44 {one.phone[1:5]} {one.phone[5:]}",
        "last six digits": lambda one: one.phone and one.phone[-6:],
        "company": lambda one: one.company_name,
        "booking reference": lambda one: one.booking_reference,
        "PaymentIntent": lambda one: one.intent,
    }


async def _searches(client: httpx.AsyncClient, engine: AsyncEngine, people: Sequence[Someone]) -> list[Row]:
    rows = []
    for kind, of in _kinds(Random(7)).items():
        terms = [term for one in people if (term := of(one))]
        old = await _scan(engine, _OLD_SEARCH, {"term": f"%{terms[0]}%"})
        found = await _timed(client, [("/search", {"q": term}) for term in terms])
        rows.append(_row(f"search by {kind}", found, old, 30))
    old = await _scan(engine, _OLD_SEARCH, {"term": f"%{people[0].last_name}%"})
    listed = await _timed(client, [("/users", {"search": one.last_name, "sort": "lastActivityDate"}) for one in people])
    return [*rows, _row("user list, search by surname, sorted and counted", listed, old, None)]


async def _lists(client: httpx.AsyncClient, engine: AsyncEngine) -> list[Row]:
    old = await _scan(engine, _OLD_USERS, {"offset": 0})
    random = Random(11)
    pages = [
        ("/users", {"sort": sort, "order": order, "offset": random.randrange(USERS), "limit": 50})
        for sort in SORTS
        for order in ("asc", "desc")
        for _ in range(PAGES)
    ]
    filters: list[dict[str, Any]] = [
        {"hasBookings": True, "sort": "totalSpent"},
        {"minSpent": "1000", "sort": "lastActivityDate"},
        {"createdFrom": "2020-01-01T00:00:00Z", "sort": "name", "order": "asc"},
        {"lastActivityFrom": "2024-01-01T00:00:00Z", "minSpent": "500", "sort": "totalSpent"},
    ]
    filtered = [("/users", {**query, "limit": 50, "offset": offset}) for query in filters for offset in (0, 50, 1000)]
    return [
        _row("user list, any page, every sort, both directions", await _timed(client, pages), old, 50),
        _row("user list, filtered by ranges, first pages", await _timed(client, filtered * 3), old, None),
        _row("first page of payments", await _timed(client, [("/payments", {})] * 20), None, None),
    ]


async def _details(client: httpx.AsyncClient, engine: AsyncEngine, people: Sequence[Someone]) -> list[Row]:
    old = await _scan(engine, _OLD_USER, {"email": people[0].email})
    details = await _timed(client, [(f"/users/{one.user_id}", {}) for one in people])
    return [_row("user with all parts", details, old, 60)]


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


async def _timed(client: httpx.AsyncClient, requests: Sequence[tuple[str, dict[str, Any]]]) -> Timed:
    times = []
    await _get(client, *requests[0])
    for path, query in requests:
        times.append(await _milliseconds(_get(client, path, query)))
    return Timed(quantiles(times, n=20)[-1], mean(times))


async def _get(client: httpx.AsyncClient, path: str, query: dict[str, Any]) -> None:
    response = await client.get(f"/api/admin{path}", params=query)
    assert response.status_code == 200, response.text


async def _scan(engine: AsyncEngine, query: Any, bound: dict[str, Any]) -> float:
    async def run() -> None:
        async with engine.connect() as connection:
            (await connection.execute(query, bound)).all()

    return await _milliseconds(run())


async def _milliseconds(work: Awaitable[None]) -> float:
    began = perf_counter()
    await work
    return (perf_counter() - began) * 1000


def _row(what: str, timed: Timed, old: float | None, most: float | None) -> Row:
    return Row(
        f"{what}, p95 (average {timed.average:.1f})",
        timed.p95,
        old,
        Target(at_most=most) if most else None,
        unit="ms",
    )
