"""A service with the least of a handler: it keeps every booking's newest sequence and counts effects."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import event_log, tables
from shared.consumer import Group
from shared.contracts import BookingContact, BookingSnapshot, read
from shared.database import create_engine
from shared.event_log import NewEvent
from shared.events import Event
from shared.inbox import InboxHandler
from shared.service import Service
from shared.settings import ServiceSettings
from support.events import EPOCH
from support.waiting import eventually

EFFECT = """
    CREATE TABLE effect (
        number bigint GENERATED ALWAYS AS IDENTITY, event_id uuid NOT NULL, subject text NOT NULL,
        sequence bigint NOT NULL, bulk boolean NOT NULL, pid integer NOT NULL
    )
"""

_KEEP = text(
    "INSERT INTO effect (event_id, subject, sequence, bulk, pid) VALUES (:id, :subject, :sequence, :bulk, :pid)"
)

EXPLODE = "explode"
KILL = "kill"


def create_tables(url: str) -> None:
    """Fill the ``sample`` template."""
    asyncio.run(_create_tables(url))


async def _create_tables(url: str) -> None:
    engine = create_engine(url, name="template")
    async with engine.begin() as connection:
        await connection.run_sync(_run, [*tables.EVENT_LOG, *tables.INBOX, *tables.DEAD_LETTER, EFFECT])
    await engine.dispose()


def _run(connection: Connection, statements: Sequence[str]) -> None:
    operations = Operations(MigrationContext.configure(connection))
    for statement in statements:
        operations.execute(statement)


class SampleHandler(InboxHandler):
    """Writes one effect per event; a booking whose status says so makes it raise."""

    types = frozenset({"booking.created", "booking.updated", "booking.deleted"})

    async def apply(self, connection: AsyncConnection, group: Group) -> bool:
        for event in group.events:
            status = read(event).status
            if status == EXPLODE:
                raise RuntimeError("this booking explodes")
            if status == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
        rows = [
            {"id": each.id, "subject": each.subject, "sequence": each.sequence, "bulk": group.bulk, "pid": os.getpid()}
            for each in group.events
        ]
        await connection.execute(_KEEP, rows)
        return False


def sample_service(database_url: str, amqp_url: str, *, retry_delays: str = "0.1,0.2") -> Service:
    """Return the service, not yet running."""
    settings = ServiceSettings.model_validate(
        {"database_url": database_url, "amqp_url": amqp_url, "retry_delays": retry_delays}
    )
    return Service(
        settings,
        name="sample",
        bindings=("booking.*",),
        publishes=("user_totals.changed",),
        handler=lambda _: SampleHandler(),
    )


def new_booking(subject: str, sequence: int = 1, *, status: str = "PENDING") -> NewEvent:
    """Return a booking event to record."""
    snapshot = BookingSnapshot(booking_id=subject, contact=BookingContact(), currency="GBP", status=status)
    kind = "created" if sequence == 1 else "updated"
    return NewEvent(f"booking.{kind}", subject, sequence, EPOCH, snapshot)


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Service]:
    """Run a service and wait until it is ready."""

    async def ready() -> bool:
        return not any((await service.health.report()).values())

    async with service.running():
        await eventually(ready, what=f"{service.name} ready")
        yield service


async def record(service: Service, events: Sequence[NewEvent], *, bulk: bool = False) -> list[Event]:
    """Commit events to a service's log and outbox, and wake its relay."""
    async with service.engine.begin() as connection:
        recorded = await event_log.append(connection, service.source, events, bulk=bulk)
    service.committed.set()
    return recorded


async def effects(engine: AsyncEngine) -> list[tuple[str, int]]:
    """Return (subject, sequence) of every effect, in the order they were committed."""
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT subject, sequence FROM effect ORDER BY number"))
        return [(row.subject, row.sequence) for row in rows]
