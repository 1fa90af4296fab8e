"""A history in front of the whole running system, and the operator's commands on it."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg

from support.legacy_filling import insert
from support.legacy_generations import LAYOUTS
from support.legacy_history import Fact
from support.oracle import totals_untold
from support.system import System

_MESSY = """
    ALTER TABLE bookings ALTER "bookingReference" DROP NOT NULL, ALTER status DROP NOT NULL,
        ALTER "createdAt" DROP NOT NULL, ALTER "finalAmount" DROP NOT NULL, ALTER "updatedAt" DROP NOT NULL;
    DROP INDEX IF EXISTS "bookings_bookingReference_key"
"""
_WAITING = """
    SELECT EXISTS (SELECT FROM gateway.import_ledger WHERE 'waiting' IN (link_outcome, payment_outcome)) AS waiting
"""


async def prepare(whole: System, bookings: Sequence[Fact]) -> None:
    """Fill the legacy table as if the gateway had come later."""
    connection = await asyncpg.connect(whole.database_urls["bookings-gateway"])
    await connection.execute("ALTER TABLE bookings DISABLE TRIGGER USER")
    await connection.execute(_MESSY)
    await insert(connection, LAYOUTS["default"], bookings)
    await connection.execute("ALTER TABLE bookings ENABLE TRIGGER USER")
    await connection.close()


async def settled(whole: System) -> bool:
    """Whether nobody has anything to send, and every booking told has reached its end."""
    for service in whole.services:
        schema = "gateway." if service == "bookings-gateway" else ""
        if await whole.query(service, f"SELECT FROM {schema}outbox LIMIT 1"):
            return False
    if await totals_untold(whole):
        return False
    return not (await whole.query("bookings-gateway", _WAITING))[0]["waiting"]


def operating(whole: System) -> Mapping[str, str]:
    """The environment of the operator's commands."""
    urls = {f"BOOKINGS_GATEWAY_{name.upper()}_URL": whole.services[name].url for name in ("users", "payments", "stats")}
    key = {"BOOKINGS_GATEWAY_REPORT_KEY": "a-key-the-operator-keeps"}
    return {**os.environ, **whole.gateway.environment, **urls, **key, "COLUMNS": "200"}


async def typed(whole: System, *words: str) -> asyncio.subprocess.Process:
    """Start ``bookings-gateway history …`` as an operator does."""
    program = Path(sys.executable).parent / "bookings-gateway"
    return await asyncio.create_subprocess_exec(
        str(program), "history", *words, env=operating(whole), stdout=asyncio.subprocess.PIPE
    )


async def history(whole: System, *words: str, code: int | None = 0) -> str:
    """Run ``bookings-gateway history …`` to its end and return what it printed."""
    process = await typed(whole, *words)
    output, _ = await process.communicate()
    if code is not None and process.returncode != code:
        raise AssertionError(output.decode())
    return output.decode()
