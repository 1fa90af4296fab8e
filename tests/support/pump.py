"""The four services' message doors on four databases, without a broker: what one records, the others are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.handlers import ReadModelHandler
from payments.handlers import BookingsHandler as PaymentsHandler
from shared.consumer import Group, Handler
from shared.events import Event
from stats.handlers import JournalHandler
from users.handlers import BookingsHandler as UsersHandler

SERVICES = ("bookings-gateway", "payments", "users", "stats")

_NEW = text(
    """
    SELECT o.seq, CAST(l.body AS text) AS body FROM outbox o JOIN event_log l USING (seq)
    ORDER BY o.bulk, o.seq LIMIT :page
    """
)
_SENT = text("DELETE FROM outbox WHERE seq = ANY(CAST(:seqs AS bigint[]))")


@dataclass
class Pump:
    """Moves events until nobody has any. ``order`` of services is who is emptied first."""

    engines: Mapping[str, AsyncEngine]
    handlers: dict[str, Handler] = field(
        default_factory=lambda: {
            "bookings-gateway": ReadModelHandler("GBP"),
            "payments": PaymentsHandler("/payments"),
            "users": UsersHandler("/users", phone_region="GB"),
            "stats": JournalHandler("/stats"),
        }
    )

    async def run(self, order: Sequence[str] = SERVICES, *, rounds: int | None = None, page: int = 500) -> int:
        """Move everything there is, or so many rounds of a page of each service; return how many events went."""
        total = done = 0
        while rounds is None or done < rounds:
            moved = sum([await self._page(service, page) for service in order])
            if not moved:
                break
            total, done = total + moved, done + 1
        return total

    async def _page(self, service: str, size: int) -> int:
        events = await self.take(service, size)
        for name in self.handlers:
            await self.give(name, events)
        return len(events)

    async def take(self, service: str, size: int = 500) -> list[Event]:
        """Return what a service has to send, next first; it is sent then."""
        async with self.engines[service].begin() as connection:
            rows = (await connection.execute(_NEW, {"page": size})).all()
            await connection.execute(_SENT, {"seqs": [row.seq for row in rows]})
        return [Event.model_validate_json(row.body) for row in rows]

    async def give(self, service: str, events: Sequence[Event]) -> None:
        """Hand a service one group of events, of which it takes those it wants."""
        handler = self.handlers[service]
        wanted = [event for event in events if event.type in handler.types]
        async with self.engines[service].begin() as connection:
            if wanted and (fresh := await handler.claim(connection, wanted)):
                await handler.apply(connection, Group(fresh, bulk=True))
