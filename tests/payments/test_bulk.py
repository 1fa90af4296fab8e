"""What an import costs the database does not grow with what it has brought."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import text

from shared.consumer import Group
from shared.events import Event
from support.events import booking, linked
from support.payments import Payments

_GROUP = 20
# By the connection that asks, and not yet added to everybody's; rows read to be thrown away are counted, too.
_READ = text(
    """
    SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS rows FROM pg_stat_xact_user_tables
    WHERE relname IN ('payment', 'booking_key', 'booking_link', 'booking_evidence')
    """
)


def _history(first: int, count: int) -> tuple[list[Event], list[Event]]:
    """Return imported bookings, each with its payment, and their links."""
    numbers = range(first, first + count)
    return [_imported(number) for number in numbers], [linked(f"b{number}", f"u{number}") for number in numbers]


def _imported(number: int) -> Event:
    recorded = {
        "evidence": "stripe",
        "status": "succeeded",
        "reference": f"MIGRATED-{number}",
        "stripe_payment_intent_id": f"pi_{number}",
        "method": "card",
        "paid_at": "2024-01-02T10:00:00Z",
    }
    return booking(f"b{number}", imported=True, payment_reference=f"pi_{number}", recorded_payment=recorded)


async def _rows_read(payments: Payments, events: Sequence[Event]) -> dict[str, int]:
    async with payments.engine.begin() as connection:
        before = Counter({row.relname: row.rows for row in await connection.execute(_READ)})
        await payments.handler.apply(connection, Group(events, bulk=True))
        return {row.relname: row.rows - before[row.relname] for row in await connection.execute(_READ)}


async def test_group_reads_its_own_rows_however_small_the_tables_were_when_it_was_planned(payments: Payments) -> None:
    """PostgreSQL keeps a statement's plan after five uses; the statistics a plan is made by may be those of nothing."""
    async with payments.engine.begin() as connection:
        await connection.execute(text("ANALYZE"))
    for first in range(0, 8 * _GROUP, _GROUP):
        for events in _history(first, _GROUP):
            await payments.learn(*events)
    for events in _history(1_000, 1_500):
        await payments.learn(*events)

    for events in _history(5_000, _GROUP):
        for table, rows in (await _rows_read(payments, events)).items():
            assert rows <= 4 * _GROUP, table
