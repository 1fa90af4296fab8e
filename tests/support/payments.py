"""A payments service's parts, without broker and server."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.handlers import BookingsHandler
from payments.service.examine import Expected
from payments.service.process_events import EventProcessor
from payments.service.record_delivery import Delivery, DeliveryRecorder
from shared.events import Event
from shared.signal import Signal
from support.apply import apply
from support.stripe_payloads import Json

# What must not depend on the order things came in; sequence and changed_at count what was news on the way.
_PAYMENTS = text("SELECT to_jsonb(p) - 'sequence' - 'changed_at' AS row FROM payment p ORDER BY id")
_REFUNDS = text("SELECT to_jsonb(r) - 'event_id' AS row FROM refund r ORDER BY id")
_DISPUTES = text("SELECT to_jsonb(d) - 'event_id' AS row FROM dispute d ORDER BY id")
_EVENTS = text("SELECT type, subject, sequence, time, body -> 'data' AS data FROM event_log ORDER BY seq")


@dataclass
class Payments:
    """The service without its broker: what is stored is processed when the test says so."""

    engine: AsyncEngine
    recorder: DeliveryRecorder
    processor: EventProcessor
    handler: BookingsHandler
    stored: Signal

    async def store(self, events: Sequence[Json]) -> None:
        """Have events delivered, all at once."""
        await asyncio.gather(*(self.recorder.record(Delivery.of(json.dumps(each).encode(), [])) for each in events))

    async def process(self) -> None:
        """Settle everything that is due."""
        while await self.processor.process_due():
            pass

    async def take(self, *events: Json) -> None:
        """Have events delivered and processed."""
        await self.store(events)
        await self.process()

    async def learn(self, *bookings: Event) -> None:
        """Have booking events consumed."""
        await apply(self.engine, self.handler, bookings)

    async def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        async with self.engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(text(query), parameters)).mappings()]

    async def state(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Return payments, refunds and disputes without what legitimately depends on the order of arrival."""
        async with self.engine.connect() as connection:
            payments = (await connection.execute(_PAYMENTS)).scalars().all()
            refunds = (await connection.execute(_REFUNDS)).scalars().all()
            disputes = (await connection.execute(_DISPUTES)).scalars().all()
        return [*payments], [*refunds], [*disputes]

    async def published(self) -> list[dict[str, Any]]:
        """Return what was recorded to be sent, in order."""
        async with self.engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(_EVENTS)).mappings()]

    async def payment(self) -> dict[str, Any]:
        """Return the only payment."""
        (found,) = await self.rows("SELECT * FROM payment")
        return found


@asynccontextmanager
async def payments_on(engine: AsyncEngine) -> AsyncIterator[Payments]:
    """The service's parts on a database of its own."""
    stored = Signal()
    recorder = DeliveryRecorder(engine, stored)
    writing = asyncio.create_task(recorder.run())
    processor = EventProcessor(engine, "/payments", Expected(livemode=False))
    yield Payments(engine, recorder, processor, BookingsHandler("/payments"), stored)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
