"""Accept: a verified delivery is stored as it came. No business logic, one statement for a whole group."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments import metrics
from payments.errors import DeliveryRefused, Reason
from payments.service.bodies import parse
from payments.service.group_commit import GroupCommit
from shared.signal import Signal
from shared.tracing import child_traceparent

_LONGEST_NAME = 200

# Sorted by id, so that two replicas storing the same events wait for each other instead of deadlocking. An event
# already there stays untouched (and unlocked: its processing is never waited for), the delivery is kept either way.
_STORE = text(
    """
    WITH delivery AS (
        SELECT * FROM unnest(
            CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:times AS timestamptz[]), CAST(:headers AS text[]),
            CAST(:bodies AS bytea[]), CAST(:traceparents AS text[])
        ) WITH ORDINALITY AS d (event_id, type, received_at, headers, body, traceparent, position)
    ), event AS (
        INSERT INTO stripe_event (id, type, received_at, next_attempt_at, traceparent)
        SELECT event_id, type, received_at, now(), traceparent FROM delivery ORDER BY event_id
        ON CONFLICT (id) DO NOTHING
    )
    INSERT INTO stripe_delivery (event_id, received_at, headers, body, source)
    SELECT event_id, received_at, CAST(headers AS json), body, :source FROM delivery ORDER BY position
    """
)


class Source(StrEnum):
    """Who brought a delivery: Stripe, or our own asking for what it did not bring."""

    WEBHOOK = "webhook"
    RECONCILE = "reconcile"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified delivery, byte for byte; ``headers`` is JSON, an array of name and value."""

    event_id: str
    type: str
    received_at: datetime
    headers: str
    body: bytes
    traceparent: str

    @classmethod
    def of(cls, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> "Delivery":
        """Read no more than it takes to store it; raises :class:`DeliveryRefused`."""
        event = _parse(body)
        return cls(
            event_id=_name(event, "id"),
            type=_name(event, "type"),
            received_at=datetime.now(UTC),
            headers=to_json([[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]).decode(),
            body=body,
            traceparent=child_traceparent(None),
        )


class DeliveryRecorder:
    """Stores deliveries, the concurrent ones together."""

    def __init__(self, engine: AsyncEngine, stored: Signal) -> None:
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._stored = stored
        self._groups = GroupCommit(self._write)

    async def record(self, delivery: Delivery) -> None:
        """Return once the delivery is committed; raises :class:`payments.errors.NotStored`."""
        await self._groups.put(delivery, size=len(delivery.body))

    async def run(self) -> None:
        """Write until cancelled."""
        await self._groups.run()

    async def _write(self, deliveries: Sequence[Delivery]) -> None:
        """One statement is one transaction by itself: no BEGIN and COMMIT, one round trip for a group."""
        async with self._autocommit.connect() as connection:
            await store(connection, deliveries)
        self._stored.set()
        metrics.DELIVERY_GROUP.observe(len(deliveries))


async def store(
    connection: AsyncConnection, deliveries: Sequence[Delivery], *, source: Source = Source.WEBHOOK
) -> None:
    """Store deliveries and make events met for the first time due; the caller commits."""
    await connection.execute(
        _STORE,
        {
            "ids": [delivery.event_id for delivery in deliveries],
            "types": [delivery.type for delivery in deliveries],
            "times": [delivery.received_at for delivery in deliveries],
            "headers": [delivery.headers for delivery in deliveries],
            "bodies": [delivery.body for delivery in deliveries],
            "traceparents": [delivery.traceparent for delivery in deliveries],
            "source": source,
        },
    )


def _parse(body: bytes) -> dict[str, Any]:
    try:
        event = parse(body)
    except UnicodeDecodeError:
        raise DeliveryRefused(Reason.ENCODING, "The body is not UTF-8.") from None
    except ValueError:
        raise DeliveryRefused(Reason.MALFORMED, "The body is not JSON.") from None
    except RecursionError:
        raise DeliveryRefused(Reason.MALFORMED, "The body is nested too deeply.") from None
    if not isinstance(event, dict):
        raise DeliveryRefused(Reason.MALFORMED, "The body is no JSON object.")
    return event


def _name(event: dict[str, Any], field: str) -> str:
    """One bad name would fail a whole group in the database, so it does not get that far."""
    value = event.get(field)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME or not value.isascii():
        raise DeliveryRefused(Reason.MALFORMED, f"The event has no usable {field}.")
    if not value.isprintable():
        raise DeliveryRefused(Reason.MALFORMED, f"The event has no usable {field}.")
    return value
