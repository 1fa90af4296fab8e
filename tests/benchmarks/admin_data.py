"""A million users and three million bookings, made in SQL: names as skewed as real ones, one customer like another.

The read model's rows are those its handler would have written: a sample is compared with what it writes.
"""

import asyncio
from collections.abc import Sequence
from itertools import product
from time import perf_counter

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bookings_gateway.main import SEARCH_PATH
from bookings_gateway.search_text import words
from shared.database import async_url


def _listed(words_in_a_row: str) -> list[str]:
    return words_in_a_row.split()


FIRST = _listed(
    """
    Oliver George Noah Arthur Harry Leo Muhammad Jack Charlie Oscar Olivia Amelia Isla Ava Mia Ivy Lily Sophia
    Grace Freya John Mary David Susan Michael Sarah James Karen Robert Linda William Helen Thomas Emma Peter Anna
    Paul Jane
    """
)
LAST = _listed(
    """
    Smith Jones Taylor Brown Williams Wilson Johnson Davies Robinson Wright Thompson Evans Walker White Roberts
    Green Hall Wood Jackson Clarke Patel Khan Lewis Harris Clark Scott Turner Hill Cooper Morris Ward Moore
    Anderson Watson
    """
)
# Thousands more, rarer and rarer.
_STARTS = _listed(
    """
    Ash Bar Carl Dun Edge Fair Gold Har Ing Kirk Lang Mar Nor Oak Pem Quin Rad Sel Thorn Under Wal York
    """
)
_MIDDLES = _listed(
    """
    ber der en fel ing le mon ny o ra sen ter ver wi
    """
)
_ENDS = _listed(
    """
    by dale field ford gate ham hurst ley man more rick sby shaw ston ton ville well wick wood worth
    """
)
RARE = [f"{a}{b}{c}" for a, b, c in product(_STARTS, _MIDDLES, _ENDS)]
COMPANIES = [f"{a} {b}" for a, b in product(_STARTS, ["Training", "Logistics", "Care", "Homes", "Foods", "Legal"])]
DOMAINS = ["gmail.com", "outlook.com", "yahoo.co.uk", "btinternet.com", "icloud.com", "example.org"]

# The commonest surname is that of one in eighty, as Smith is; the commonest first name of one in twenty.
_PEOPLE = """
    CREATE UNLOGGED TABLE bench_person AS
    SELECT n, CAST(md5('user' || n) AS uuid) AS user_id, first_name, last_name,
           lower(first_name || '.' || last_name) || n || '@' || domain AS email,
           CASE WHEN n % 10 < 9 THEN '07' || lpad(CAST(n * 7919 % 1000000000 AS text), 9, '0') END AS phone,
           CASE WHEN n % 5 = 0 THEN company END AS company,
           timestamptz '2016-01-01' + n * interval '5 minutes' AS created_at
    FROM (
        SELECT n, CAST(:first AS text[]) AS firsts, CAST(:last AS text[]) AS lasts,
               CAST(:company AS text[]) AS companies,
               CAST(:domain AS text[]) AS domains,
               random() AS r1, random() AS r2, random() AS r3, random() AS r4
        FROM generate_series(1, CAST(:users AS bigint)) AS n
    ) g
    CROSS JOIN LATERAL (
        SELECT firsts[1 + floor(power(r1, 1.2) * cardinality(firsts))] AS first_name,
               lasts[1 + floor(r2 * r2 * cardinality(lasts))] AS last_name,
               companies[1 + floor(r3 * cardinality(companies))] AS company,
               domains[1 + floor(r4 * r4 * cardinality(domains))] AS domain
    ) p
"""
_BOOKINGS = """
    CREATE UNLOGGED TABLE bench_booking AS
    SELECT n, CAST(md5('booking' || n) AS uuid) AS id, 'BK' || upper(substr(md5('ref' || n), 1, 4)) || n AS reference,
           CASE WHEN n <= :users THEN n ELSE 1 + floor(:users * random() * random()) END AS person,
           (n % 400) + 17.50 AS amount, n % 5 < 4 AS paid, 'pi_3' || substr(md5('intent' || n), 1, 20) AS intent,
           timestamptz '2016-01-01' + n * interval '100 seconds' AS created_at
    FROM generate_series(1, CAST(:bookings AS bigint)) AS n
"""
_WORDS = """
    ARRAY(SELECT DISTINCT word FROM unnest(
        ARRAY[lower(first_name), lower(last_name), CAST(n AS text),
              regexp_replace(split_part(email, '@', 2), '[.]', '', 'g'),
              '@' || regexp_replace(split_part(email, '@', 1), '[.]', '', 'g')
                  || '@' || regexp_replace(split_part(email, '@', 2), '[.]', '', 'g')]
        || CASE WHEN phone IS NOT NULL THEN ARRAY['tel' || reverse(right(phone, 9))] END
        || CASE WHEN company IS NOT NULL THEN regexp_split_to_array(lower(company), ' ') END
    ) AS word)
"""
_LEGACY = """
    INSERT INTO bookings (id, "bookingReference", status, "contactDetails", participants, "finalAmount", "createdAt",
                          "updatedAt", user_id)
    SELECT b.id, b.reference, CASE WHEN b.paid THEN 'PAID' ELSE 'PENDING' END,
           jsonb_build_object('firstName', p.first_name, 'lastName', p.last_name, 'email', p.email, 'phone', p.phone,
                              'company', p.company),
           jsonb_build_array(jsonb_build_object('firstName', p.first_name, 'dateOfBirth', '1980-01-01')),
           b.amount, b.created_at, b.created_at, p.user_id
    FROM bench_booking b JOIN bench_person p ON p.n = b.person
"""
_SUMMARIES = f"""
    INSERT INTO booking_summary (booking_id, sequence, deleted, booking_reference, status, first_name, last_name, email,
        phone, company, final_amount, currency, created_at, updated_at, search)
    SELECT CAST(b.id AS text), 1, false, b.reference, CASE WHEN b.paid THEN 'PAID' ELSE 'PENDING' END, p.first_name,
           p.last_name, p.email, p.phone, p.company, b.amount, 'GBP', b.created_at, b.created_at,
           array_to_tsvector(p.words || lower(b.reference) || regexp_split_to_array(
               trim(regexp_replace(lower(b.reference), '([a-z]+|[0-9]+)', '\\1 ', 'g')), ' '))
    FROM bench_booking b JOIN (SELECT *, {_WORDS} AS words FROM bench_person) p ON p.n = b.person
"""  # noqa: S608 - constants
_LINKS = """
    INSERT INTO booking_user (booking_id, sequence, user_id, written)
    SELECT CAST(b.id AS text), 1, p.user_id, true FROM bench_booking b JOIN bench_person p ON p.n = b.person
"""
_PAYMENTS = """
    INSERT INTO booking_payment (payment_id, sequence, booking_id, status, currency, amount, received, refunded,
        disputed, net, open_disputes, method, stripe_payment_intent_id, reference, paid_at, created_at, migrated,
        written)
    SELECT CAST(CAST(md5('payment' || n) AS uuid) AS text), 1, CAST(id AS text), 'succeeded', 'GBP', amount * 100,
           amount * 100, 0, 0, amount * 100, 0, 'card', intent, intent, created_at, created_at, false, true
    FROM bench_booking WHERE paid
"""
_CUSTOMERS = f"""
    INSERT INTO customer (user_id, user_sequence, email, first_name, last_name, phone, company_name, created_at,
        name_key, first_key, last_key, phone_key, company_key, search, totals_sequence, total_bookings, total_spent,
        total_paid, currencies, first_booking_date, last_booking_date, last_activity_date)
    SELECT p.user_id, 1, p.email, p.first_name, p.last_name, p.phone, p.company, p.created_at,
           lower(p.first_name || ' ' || p.last_name), lower(p.first_name), lower(p.last_name || ' ' || p.first_name),
           coalesce(p.phone, ''),
           coalesce(lower(p.company), ''), array_to_tsvector({_WORDS}), 1, t.bookings, t.spent, t.paid,
           json_build_array(json_build_object('currency', 'GBP', 'total_spent', CAST(t.spent AS text), 'total_paid',
               CAST(t.paid AS text), 'total_refunded', '0.00', 'total_disputed', '0.00', 'net_paid',
               CAST(t.paid AS text))),
           t.first, t.last, t.last
    FROM bench_person p JOIN (
        SELECT person, count(*) AS bookings, sum(amount) AS spent, coalesce(sum(amount) FILTER (WHERE paid), 0) AS paid,
               min(created_at) AS first, max(created_at) AS last
        FROM bench_booking GROUP BY person
    ) t ON t.person = p.n
"""  # noqa: S608 - constants
# The words of the people above, among as many others as a country's names are.
_NAMES = """
    INSERT INTO search_word
    SELECT DISTINCT word FROM bench_person, regexp_split_to_table(
        lower(concat_ws(' ', first_name, last_name, company)), ' ') AS word WHERE length(word) BETWEEN 3 AND 24
    UNION
    SELECT translate(substr(md5('word' || n), 1, CAST(4 + n % 6 AS integer)), '0123456789', 'ghilmnorst')
    FROM generate_series(1, 150000) AS n
"""
_INDEXES = text(
    """
    SELECT indexname, indexdef FROM pg_indexes i WHERE schemaname = 'gateway'
        AND tablename IN ('customer', 'booking_summary', 'booking_user', 'booking_payment', 'search_word')
        AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conname = i.indexname)
    """
)
_FAST = {"jit": "off", "maintenance_work_mem": "512MB", "work_mem": "256MB", "synchronous_commit": "off"}
_TABLES = (
    "customer",
    "booking_summary",
    "booking_user",
    "booking_payment",
    "search_word",
    "customer_count",
    "payment_count",
    "bookings",
)


async def fill(url: str, users: int, bookings: int) -> float:
    """Fill the legacy table and the read model, and return how long that took in seconds."""
    began = perf_counter()
    settings = {"search_path": SEARCH_PATH, **_FAST}
    engine = create_async_engine(async_url(url), connect_args={"server_settings": settings, "command_timeout": 1800})
    await _fill(engine, users, bookings)
    await _compare(engine)
    await engine.dispose()
    return perf_counter() - began


async def _fill(engine: AsyncEngine, users: int, bookings: int) -> None:
    """Rows first, indexes after, as when a backup is read in: the tables are those that single rows would have made."""
    names = {"first": FIRST, "last": LAST + RARE, "company": COMPANIES, "domain": DOMAINS}
    async with engine.begin() as connection:
        await connection.execute(text("SELECT setseed(0.4)"))
        indexes = (await connection.execute(_INDEXES)).all()
        for index in indexes:
            await connection.execute(text(f"DROP INDEX gateway.{index.indexname}"))
        await connection.execute(text("ALTER TABLE bookings DISABLE TRIGGER USER"))
        await connection.execute(text(_PEOPLE), {**names, "users": users})
        await connection.execute(text(_BOOKINGS), {"users": users, "bookings": bookings})
    await _side_by_side(engine, [_LEGACY, _SUMMARIES, _CUSTOMERS, _LINKS, _PAYMENTS, _NAMES])
    await _side_by_side(engine, [index.indexdef for index in indexes])
    await _side_by_side(engine, ["ALTER TABLE bookings ENABLE TRIGGER USER", "DROP TABLE bench_person, bench_booking"])
    await _side_by_side(engine, [f"VACUUM ANALYZE {table}" for table in _TABLES])


async def _side_by_side(engine: AsyncEngine, statements: Sequence[str]) -> None:
    """Run statements two at a time, each in a transaction of its own."""
    left = iter(statements)

    async def run() -> None:
        async with engine.connect() as connection:
            autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
            for statement in left:
                await autocommit.execute(text(statement))

    await asyncio.gather(run(), run())


async def _compare(engine: AsyncEngine) -> None:
    """Assert that the words made in SQL are those the handler makes."""
    query = text(
        """
        SELECT first_name, last_name, company_name, email, phone, tsvector_to_array(search) AS words
        FROM customer TABLESAMPLE SYSTEM (0.5) LIMIT 500
        """
    )
    async with engine.connect() as connection:
        for row in await connection.execute(query):
            made = words(texts=[row.first_name, row.last_name, row.company_name, row.email], phones=[row.phone])
            assert sorted(made.split()) == sorted(row.words), (made, row.words)
