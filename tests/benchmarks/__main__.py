"""``make bench``: all tables, or those named on the command line."""

import sys
from importlib import import_module

import uvloop

from benchmarks.infrastructure import infrastructure
from benchmarks.table import show
from shared import logs

TABLES = {
    "relay": "Relay: outbox → broker, confirmed (one process)",
    "payments": "Payments: webhook → durable → processed → published",
    "consumer": "Consumer: queue → committed totals (the whole stats service in one process)",
    "stats": "Statistics: a rebuild of 2.8 million events (1 M bookings, 1 M links, 0.8 M payments, 300,000 users)",
    "history": "History: a legacy table → users, payments, totals, verified (the whole system)",
    "legacy": "Legacy listing: the gateway beside the old server, 10,000 bookings, users and payments joined",
    "admin": "Admin: looking customers up (1 M users, 3 M bookings; floor: a scan of the legacy JSON)",
    "latency": "Latency: booking → total in the admin's listing (the whole system)",
}


async def main() -> None:
    """Measure and print one table after the other, on one infrastructure."""
    logs.configure(level="error", form="console")
    async with infrastructure() as infra:
        for name in sys.argv[1:] or TABLES:
            show(TABLES[name], await import_module(f"benchmarks.{name}").measure(infra))


uvloop.run(main())
