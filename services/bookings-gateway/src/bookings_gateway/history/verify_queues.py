"""V9: nothing is on its way any more and nobody gave anything up, here and at every other service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.history.checks import Check
from bookings_gateway.history.others import PARTS, Others

_OWN = "bookings-gateway"
_GAUGES = ("outbox_rows", "dead_letters_open", "unrouted_messages", "queue_depth")
_GIVEN_UP = ("dead", "failed", "dead_letters_open")

_OWN_TABLES = text(
    """
    SELECT (SELECT count(*) FROM booking_change) AS uncaptured, (SELECT count(*) FROM outbox) AS unsent,
           (SELECT count(*) FROM dead_letter WHERE state = 'open') AS dead,
           (SELECT count(*) FROM booking_change_failed) AS failed
    """
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits, by who and where. ``untold`` is what should have been told and was not: it proves nothing."""

    counts: Mapping[str, int]
    untold: Sequence[str]

    def check(self) -> Check:
        """Return V9."""
        left = [f"{name} {count}" for name, count in self.counts.items() if count]
        shown = ", ".join([*left, *(f"{name} not told" for name in self.untold)]) or "none waiting"
        claim = "outboxes and queues are empty, those of retries too, dead letters none"
        return Check("V9", claim, "none waiting", shown, not left and not self.untold)

    @property
    def given_up(self) -> bool:
        """Whether anything waits for an operator, or nobody can say."""
        return bool(self.untold) or any(self.counts[name] for name in self.counts if name.endswith(_GIVEN_UP))


async def waiting(engine: AsyncEngine, others: Others) -> Waiting:
    """Ask the gateway's tables, and every service's gauges, the gateway's own too. Raises ``PartSilent``."""
    async with engine.connect() as connection:
        counts = await _own_tables(connection)
    untold: list[str] = []
    for part in (*PARTS, _OWN):
        told = await others.gauges(part, _GAUGES)
        counts |= {f"{part}: {name}": int(value) for name, value in told.items()}
        untold += [f"{part}: {name}" for name in _wanted(part) if not any(each.startswith(name) for each in told)]
    return Waiting(counts, untold)


async def _own_tables(connection: AsyncConnection) -> dict[str, int]:
    row = (await connection.execute(_OWN_TABLES)).mappings().one()
    return {f"gateway: {name}": int(count) for name, count in row.items()}


def _wanted(part: str) -> Sequence[str]:
    """What a service tells of itself; how its retry queues are called depends on its settings."""
    *plain, depth = _GAUGES
    return [*plain, *(f"{depth} {part}.{queue}" for queue in ("events", "bulk", "retry."))]
