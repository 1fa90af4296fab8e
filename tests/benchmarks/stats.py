"""A rebuild of 2.8 million events, beside a plain aggregate and a per-event projection; a live event for a giant."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from statistics import median
from time import perf_counter
from uuid import uuid4

import psutil
from sqlalchemy import text
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.event_by_event import event_by_event
from benchmarks.infrastructure import Infrastructure
from benchmarks.table import Result, Row, Target
from shared.database import create_engine
from stats import projector
from stats.handlers import JournalHandler
from stats.service.lock import bulk_engine
from stats.service.rebuild import Order, Outcome, Rebuild
from support.apply import apply
from support.events import booking, linked, payment

BOOKINGS = 1_000_000
USERS = 300_000
GIANT = 100_000
STEP = 50_000
EVENT_BY_EVENT = 3_000

# A booking, its link to a user, and for four in five a payment, as they would have come in; ids in random order.
GENERATE = text(
    """
    INSERT INTO journal (event_id, type, subject, sequence, time, booking_id, user_id, currency, amount, received,
                         refunded, disputed, created_at)
    SELECT uuidv7(), e.type, e.subject, 1, b.time + e.later, b.id, e.user_id, e.currency, e.amount, e.received,
           e.refunded, e.disputed, e.created_at
    FROM generate_series(CAST(:low AS bigint), CAST(:high AS bigint)) AS n
    CROSS JOIN LATERAL (
        SELECT CAST(CAST(md5('booking' || n) AS uuid) AS text) AS id,
               CAST(md5('user' || CASE WHEN n < :giant THEN -1 ELSE n * 7919 % :users END) AS uuid) AS user_id,
               timestamptz '2024-01-01' + n * interval '1 minute' AS time
    ) AS b
    CROSS JOIN LATERAL (VALUES
        (1, 'booking.created', b.id, NULL::uuid, 'GBP', n % 500 + 0.50, NULL::numeric, NULL::numeric, NULL::numeric,
         b.time, interval '0'),
        (2, 'user.booking_linked', b.id, b.user_id, NULL, NULL, NULL, NULL, NULL, NULL, interval '1 second'),
        (3, 'payment.succeeded', CAST(CAST(md5('payment' || n) AS uuid) AS text), NULL, 'GBP', n % 500 * 100 + 50,
         n % 500 * 100 + 50, 0, 0, NULL, interval '1 minute')
    ) AS e (k, type, subject, user_id, currency, amount, received, refunded, disputed, created_at, later)
    WHERE e.k < 3 OR n % 5 < 4
    ORDER BY n, e.k
    """
)
# The same totals, for this moment only: newest versions, joined and summed. No facts to go on from, no activity.
PLAIN = text(
    """
    WITH booking AS (
        SELECT DISTINCT ON (subject) subject, type, currency, amount, created_at, time FROM journal
        WHERE type LIKE 'booking.%' ORDER BY subject, sequence DESC
    ), link AS (
        SELECT DISTINCT ON (subject) subject, user_id FROM journal
        WHERE type = 'user.booking_linked' ORDER BY subject, sequence DESC
    ), payment AS (
        SELECT DISTINCT ON (subject) subject, booking_id, currency, received, refunded, disputed FROM journal
        WHERE type LIKE 'payment.%' ORDER BY subject, sequence DESC
    ), spent AS (
        SELECT l.user_id, b.currency, count(*) AS bookings, sum(b.amount) AS spent, min(b.created_at) AS first,
               max(b.created_at) AS last
        FROM booking b JOIN link l USING (subject) WHERE b.type <> 'booking.deleted' GROUP BY 1, 2
    ), paid AS (
        SELECT l.user_id, p.currency, sum(p.received) AS paid, sum(p.refunded) AS refunded, sum(p.disputed) AS disputed
        FROM payment p JOIN link l ON l.subject = p.booking_id GROUP BY 1, 2
    ), latest AS (
        SELECT coalesce(l.user_id, j.user_id) AS user_id, max(j.time) AS time
        FROM journal j LEFT JOIN link l ON l.subject = j.booking_id GROUP BY 1
    )
    SELECT count(*) AS users, sum(s.spent) AS spent, sum(p.paid) AS paid
    FROM spent s LEFT JOIN paid p USING (user_id, currency) LEFT JOIN latest USING (user_id)
    """
)
SUMS = text("SELECT count(*) AS users, sum(spent) AS spent, sum(paid) AS paid FROM {schema}.currency_totals")


async def measure(infrastructure: Infrastructure) -> Result:
    """Return rates, times and memory."""
    url = await infrastructure.databases.create("stats")
    engine = create_engine(url, name="benchmark")
    events = await generate(engine)
    plain, expected = await plain_aggregate(url)
    first = await rebuilt(url)
    again = await rebuilt(url, pids=infrastructure.postgres.pids)
    assert await sums(engine, again.outcome.run.schema) == expected
    assert (again.outcome.differences, again.outcome.announced) == (0, 0)
    busy = await rebuilt_under_load(url, engine)
    python = await asyncio.to_thread(event_by_event, await infrastructure.databases.create(), EVENT_BY_EVENT)
    giant = await live_event_for_giant(engine)
    await engine.dispose()
    rate = events / again.seconds
    return Result(
        [
            Row("plain SQL aggregate that gives the same totals and keeps nothing", events / plain),
            Row("first rebuild, compared with empty statistics, all users announced", events / first.seconds),
            Row(
                "rebuild beside full statistics, compared and switched", rate, events / plain, Target(at_least=100_000)
            ),
            Row("… its time, in times of the aggregate", again.seconds / plain, target=Target(at_most=12), unit="×"),
            Row(
                "… live events waited at the switch", again.outcome.switch_ms or 0, target=Target(at_most=50), unit="ms"
            ),
            Row("… the same while live groups of 20 events come in", busy, target=Target(at_most=50), unit="ms"),
            Row("… memory of the server's processes beyond the shared", again.memory / 2**20, unit="MiB"),
            Row("eventsourcing 9.5.6, a projection event by event", python),
            Row("… the rebuild's rate, in times of it", rate / python, target=Target(at_least=50), unit="×"),
            Row("live event for a user of 100,000 bookings, median", giant, target=Target(at_most=20), unit="ms"),
        ],
        [f"{event_count(events)}; the rebuild's {again.seconds:.1f} s by statement: {again.spent}."],
    )


def event_count(events: int) -> str:
    return f"{events:,} events of {USERS:,} users, one of them with {GIANT:,} bookings"


async def generate(engine: AsyncEngine) -> int:
    """Fill the journal as live traffic would have, and return how many events it holds."""
    for low in range(0, BOOKINGS, STEP):
        async with engine.begin() as connection:
            parameters = {"low": low, "high": low + STEP - 1, "giant": GIANT, "users": USERS}
            await connection.execute(GENERATE, parameters)
    async with engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("VACUUM ANALYZE journal"))
        return int((await connection.execute(text("SELECT count(*) FROM journal"))).scalar_one())


async def plain_aggregate(url: str) -> tuple[float, object]:
    """Run the aggregate with the memory a rebuild allows itself; return seconds and sums."""
    engine = bulk_engine(url)
    async with engine.connect() as connection:
        await connection.execute(text("SET work_mem = '64MB'"))
        await connection.execute(text("SET max_parallel_workers_per_gather = 0"))
        started = perf_counter()
        row = (await connection.execute(PLAIN)).one()
        seconds = perf_counter() - started
    await engine.dispose()
    return seconds, tuple(row)


async def sums(engine: AsyncEngine, schema: str) -> object:
    async with engine.connect() as connection:
        return tuple((await connection.execute(text(SUMS.text.format(schema=schema)))).one())


@dataclass(frozen=True)
class Rebuilt:
    """One rebuild: seconds, most private memory of the server in bytes, where its time went."""

    seconds: float
    outcome: Outcome
    memory: int
    spent: str


async def rebuilt(url: str, *, pids: Callable[[], list[int]] | None = None) -> Rebuilt:
    """Rebuild and switch, as the command does; its memory too, if the server's processes are given."""
    engine = bulk_engine(url)
    memory, spent = Memory(pids), Spent(engine)
    watching = asyncio.create_task(memory.keep_looking())
    began = perf_counter()
    outcome = await Rebuild(engine, "/stats")(Order(operator="benchmark"))
    seconds = perf_counter() - began
    watching.cancel()
    await engine.dispose()
    return Rebuilt(seconds, outcome, memory.bytes, str(spent))


class Spent:
    """Seconds per kind of statement; payments and activity run side by side, and so do comparisons."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._began: dict[int, float] = {}
        listen(engine.sync_engine, "before_cursor_execute", self._before)
        listen(engine.sync_engine, "after_cursor_execute", self._after)

    def _before(self, _: object, cursor: object, *_rest: object) -> None:
        self._began[id(cursor)] = perf_counter()

    def _after(self, _: object, cursor: object, statement: str, *_rest: object) -> None:
        self._seconds[_kind(statement)] += perf_counter() - self._began.pop(id(cursor))

    def __str__(self) -> str:
        most = sorted(self._seconds.items(), key=lambda item: -item[1])
        return ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in most)


def _kind(statement: str) -> str:
    for name in ("bookings", "payments", "merges", "activity"):
        if statement.startswith(projector.sql(name)[:40]):
            return name
    words = statement.split()
    if words[:1] == ["ANALYZE"] or "INDEX" in words[:3]:
        return "indexes and statistics"
    return "comparison" if "FULL JOIN" in statement else "the rest"


class Memory:
    """The most the server's processes held for themselves, all together, beyond what they held at first."""

    def __init__(self, pids: Callable[[], list[int]] | None) -> None:
        self._pids = pids or list
        self.bytes = 0

    async def keep_looking(self) -> None:
        floor = self._now()
        while True:
            self.bytes = max(self.bytes, self._now() - floor)
            await asyncio.sleep(0.25)

    def _now(self) -> int:
        total = 0
        for pid in self._pids():
            try:
                info = psutil.Process(pid).memory_info()
            except psutil.NoSuchProcess:
                continue
            total += info.rss - info.shared
        return total


async def rebuilt_under_load(url: str, engine: AsyncEngine) -> float:
    """Rebuild while live groups follow on each other; return how long they waited at the switch, in milliseconds."""

    async def keep_writing() -> None:
        for number in count():
            ids = [f"live {number} {n}" for n in range(10)]
            group = [event for id_ in ids for event in (booking(id_), linked(id_, str(uuid4())))]
            await apply(engine, JournalHandler("/stats"), group)
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(keep_writing())
    busy = await rebuilt(url)
    writing.cancel()
    await asyncio.wait([writing])
    assert (busy.outcome.differences, busy.outcome.announced) == (0, 0)
    return busy.outcome.switch_ms or 0


async def live_event_for_giant(engine: AsyncEngine) -> float:
    """Apply one event at a time for the user of many bookings, as the consumer does; return milliseconds."""
    handler = JournalHandler("/stats")
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT subject FROM journal WHERE type = 'booking.created' ORDER BY xid, seq LIMIT 60")
        )
        ids = list(rows.scalars())
    times = []
    for number, id_ in enumerate(ids):
        event = booking(id_, 2, amount="12.00") if number % 2 else payment(f"giant{number}", id_)
        started = perf_counter()
        await apply(engine, handler, [event])
        times.append((perf_counter() - started) * 1000)
    return median(times[10:])
