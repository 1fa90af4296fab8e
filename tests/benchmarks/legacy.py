"""The legacy listing: the gateway as it is deployed and the old server, on one table, taking turns."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import aiohttp
import asyncpg

from benchmarks.infrastructure import Infrastructure
from benchmarks.processors import Meter, Pids
from benchmarks.table import Result, Row, Target
from local_stack.ports import free_port
from support.express import express
from support.staff import bearer_at
from support.system import ServiceProcess

ROWS = 10_000
ROUNDS = 5
TOGETHER = 4
_FULL, _PAGES = 8, 120
_LISTING = "/api/admin/bookings"
_WRITE = "SELECT pg_current_xact_id()"  # to every reader the database has changed, and nobody has more to do for it

_FILL = f"""
    INSERT INTO bookings (id, "bookingReference", status, "contactDetails", participants, "invoiceDetails",
        "finalAmount", "paymentDate", "paymentMethod", "paymentReference", "createdAt", "updatedAt")
    SELECT gen_random_uuid(), 'REF' || i, (ARRAY['PENDING','PAID','CONFIRMED','CANCELLED'])[1 + i % 4],
        CASE WHEN i % 50 = 0 THEN NULL
             WHEN i % 50 = 1 THEN to_jsonb('{{"firstName":"Encoded","lastName":"Twice","email":"e@example.com"}}'::text)
             ELSE jsonb_build_object('firstName', 'Ann' || i, 'lastName', 'Lée', 'company', 'Acme Ltd',
                 'email', 'ann' || i % 4000 || '@example.com', 'phone', '+44 20 7946 0' || i) END,
        jsonb_build_array(jsonb_build_object('name', 'Zoë Lee', 'dateOfBirth', '1990-01-01', 'dietary', 'none'),
            jsonb_build_object('name', 'Bo Lee', 'dateOfBirth', '1991-01-01', 'dietary', 'none')),
        CASE WHEN i % 3 = 0 THEN '{{"company": "Acme", "vat": "GB123", "address": "1 Some Street"}}'::jsonb END,
        67.5 + i % 100, CASE WHEN i % 2 = 0 THEN now() - i * interval '1 hour' END, 'CARD', 'pi_' || md5(i::text),
        now() - i * interval '37 minutes', now() - i * interval '30 minutes'
    FROM generate_series(1, {ROWS}) i;
    INSERT INTO gateway.booking_user (booking_id, sequence, user_id, written)
    SELECT CAST(id AS text), 1, CAST(md5(CAST(row_number() OVER () % 4000 AS text)) AS uuid), true FROM bookings;
    INSERT INTO gateway.customer (user_id, user_sequence, totals_sequence, total_bookings, total_spent, canonical_id)
    SELECT user_id, 1, 1, 3, 202.5,
        CASE WHEN user_id < '08000000-0000-0000-0000-000000000000' THEN last_value(user_id) OVER () END
    FROM (SELECT DISTINCT user_id FROM gateway.booking_user ORDER BY user_id) users;
    INSERT INTO gateway.booking_payment
        (payment_id, sequence, booking_id, status, currency, received, refunded, disputed, open_disputes, paid_at,
         migrated, amount, net, created_at, written)
    SELECT 'p' || id, 1, CAST(id AS text), 'succeeded', 'GBP', 6750, 0, 0, 0, now(), false, 6750, 6750, now(), true
    FROM bookings WHERE status IN ('PAID', 'CONFIRMED');
    TRUNCATE gateway.booking_change;
"""  # noqa: S608 - a number of this file


@dataclass
class Server:
    """Answers per second of each round, by what was asked, and the processor time of an answer in ms, by whose."""

    name: str
    client: aiohttp.ClientSession
    processes: Mapping[str, Pids]
    rates: dict[str, list[float]] = field(default_factory=dict)
    spent: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)

    async def ask(self, question: "Question", writers: asyncpg.Pool) -> None:
        """Ask as often as the question says, so many at once, and note the rate."""
        what, count, left = question.what, question.count, iter(range(question.count))

        async def asking() -> None:
            for _ in left:
                if question.written:
                    await writers.execute(_WRITE)
                async with self.client.get(_LISTING + question.query) as answer:
                    await answer.read()

        meter = Meter(self.processes)
        started = perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(question.together):
                tasks.create_task(asking())
        self.rates.setdefault(what, []).append(count / (perf_counter() - started))
        spent = {whose: 1000 * seconds / count for whose, seconds in meter.spent().items()}
        self.spent.setdefault(what, []).append(spent)

    def rate(self, what: str) -> float:
        return median(self.rates[what])

    def cost(self, what: str) -> str:
        """Say who spent how much on an answer."""
        rounds = self.spent[what]
        return " + ".join(f"{whose} {median(spent[whose] for spent in rounds):.1f}" for whose in self.processes)


@dataclass(frozen=True)
class Question:
    """One way of asking; ``written`` is whether the database changes before each answer."""

    what: str
    query: str
    count: int
    together: int
    written: bool
    share: float


QUESTIONS = [
    Question(f"{what}, {at_once}, {state}", query, count, together, written, share)
    for what, query, count, share in ((f"all {ROWS:,}", "", _FULL, 2.0), ("limit=50", "?limit=50", _PAGES, 1.0))
    for at_once, together in (("one at a time", 1), (f"{TOGETHER} at once", TOGETHER))
    for state, written in (("nothing written", False), ("a write before each", True))
]


async def measure(infrastructure: Infrastructure) -> Result:
    """Return the gateway's rates beside the old server's, and the bare statement's."""
    url = await infrastructure.databases.create("bookings_gateway")
    connection = await asyncpg.connect(url)
    await connection.execute(_FILL)
    await connection.execute("VACUUM ANALYZE")
    bare = await _bare(connection)
    await connection.close()
    amqp_url = await infrastructure.amqp_url()
    with TemporaryDirectory() as logs:
        service = _gateway(url, amqp_url, Path(logs))
        service.start()
        try:
            await service.wait_ready()
            headers = await bearer_at(url)
            async with (
                express(url) as old,
                asyncpg.create_pool(url, min_size=TOGETHER, max_size=TOGETHER) as writers,
                aiohttp.ClientSession(old.url, raise_for_status=True) as old_client,
                aiohttp.ClientSession(service.url, headers=headers, raise_for_status=True) as new_client,
            ):
                database = {"PostgreSQL": infrastructure.postgres.pids}
                servers = (
                    Server("old", old_client, {"old server": lambda: [old.pid], **database}),
                    Server("gateway", new_client, {"gateway": service.pids, **database}),
                )
                await _rounds(servers, writers)
        finally:
            service.end()
    return _report(*servers, bare)


def _gateway(url: str, amqp_url: str, logs: Path) -> ServiceProcess:
    port = free_port()
    environment = {
        "AMQP_URL": amqp_url,
        "BOOKINGS_GATEWAY_DATABASE_URL": url,
        "BOOKINGS_GATEWAY_PORT": str(port),
    }
    return ServiceProcess("bookings-gateway", port, environment, logs / "gateway.log")


async def _bare(connection: asyncpg.Connection) -> float:
    """The floor: the rows as JSON, nothing joined, nothing in the old forms, thrown away on arrival."""
    rates = []
    for _ in range(ROUNDS):
        started = perf_counter()
        await connection.fetch('SELECT row_to_json(b) FROM bookings b ORDER BY "createdAt" DESC, id')
        rates.append(1 / (perf_counter() - started))
    return median(rates)


async def _rounds(servers: Sequence[Server], writers: asyncpg.Pool) -> None:
    for _ in range(ROUNDS + 1):
        for question in QUESTIONS:
            for server in servers:
                await server.ask(question, writers)
    for server in servers:
        for what in server.rates:
            del server.rates[what][0], server.spent[what][0]  # the warm-up


def _report(old: Server, gateway: Server, bare: float) -> Result:
    rows = [Row(q.what, gateway.rate(q.what), old.rate(q.what), Target(of_floor=q.share)) for q in QUESTIONS]
    return Result(
        rows,
        [
            f"Floor: the old server's own stack, Express and pg, in the same minute on the same table; medians of "
            f"{ROUNDS} rounds that took turns. The gateway joins users, totals and payments, and asks who may.",
            f"The bare statement (rows as JSON, nothing joined or formatted) makes {bare:.0f} listings a second.",
            *(f"Processor ms, {q.what}: {gateway.cost(q.what)}; {old.cost(q.what)}." for q in QUESTIONS),
        ],
    )
