"""``make bench``: all tables, or those named on the command line."""

import sys
from importlib import import_module

import uvloop

from benchmarks.infrastructure import infrastructure
from benchmarks.table import show
from shared import logs

TABLES = {
    "relay": "Relay: outbox → broker, in order, confirmed",
    "payments": "Payments: webhook → durable → processed → published",
    "consumer": "Consumer: queue → committed projection (the whole service in one process)",
}


async def main() -> None:
    """Measure and print one table after the other, on one infrastructure."""
    logs.configure(level="error", form="console")
    async with infrastructure() as infra:
        for name in sys.argv[1:] or TABLES:
            rows = await import_module(f"benchmarks.{name}").measure(infra)
            show(TABLES[name], rows)


uvloop.run(main())
