"""Where a failed event goes: a delay queue, then the dead-letter queue. Confirmed there before it is acknowledged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from aio_pika.abc import AbstractIncomingMessage

from shared import metrics
from shared.errors import PermanentError
from shared.events import EVENT_CONTENT_TYPE, Event, Undecodable
from shared.ids import new_id
from shared.publisher import Outgoing, Publisher
from shared.topology import Topology

log = structlog.get_logger(__name__)

# Headers of our own: the broker's x-death is no longer kept across republishing from 4.0 on.
ATTEMPTS, REASON, FIRST_FAILED, LAST_FAILED = (
    "x-attempts",
    "x-reason",
    "x-first-failed-at",
    "x-last-failed-at",
)
_LONGEST_REASON = 8 * 1024


@dataclass(frozen=True, slots=True)
class Failure:
    """One event that could not be applied. ``attempts`` counts this one too."""

    body: bytes
    message_id: str
    reason: str
    attempts: int
    first_failed_at: str
    permanent: bool

    @classmethod
    def of(cls, event: Event, delivery: AbstractIncomingMessage, error: Exception) -> "Failure":
        """An event whose handler raised ``error``."""
        return cls(
            body=event.encode(),
            message_id=str(event.id),
            reason=f"{type(error).__name__}: {error}"[:_LONGEST_REASON],
            attempts=_attempts(delivery.headers) + 1,
            first_failed_at=_first_failed(delivery.headers),
            permanent=isinstance(error, PermanentError),
        )

    @classmethod
    def undecodable(cls, item: Undecodable, delivery: AbstractIncomingMessage) -> "Failure":
        """A body that is no event."""
        return cls(
            body=item.body,
            message_id=delivery.message_id or str(new_id()),
            reason=f"Undecodable: {item.reason}"[:_LONGEST_REASON],
            attempts=_attempts(delivery.headers) + 1,
            first_failed_at=_first_failed(delivery.headers),
            permanent=True,
        )


class Failures:
    """Moves failed events on."""

    def __init__(self, topology: Topology, publisher: Publisher) -> None:
        self._topology = topology
        self._publisher = publisher

    async def move(self, failures: Sequence[Failure]) -> None:
        """Send each to its next delay queue, or to the dead letters; raises ``ConnectionError`` if any is unsure.

        May be called again with the same failures: a second copy has no second effect.
        """
        outcomes = await self._publisher.publish([self._message(failure) for failure in failures])
        for outcome in outcomes:
            if outcome is not None:
                raise ConnectionError(f"a failed event could not be moved on: {outcome}")

    def _message(self, failure: Failure) -> Outgoing:
        retry = None if failure.permanent else self._topology.retry(failure.attempts)
        outcome = "retry" if retry else "dead"
        metrics.CONSUMED.labels(self._topology.events, outcome).inc()
        log.warning("event_failed", event_id=failure.message_id, outcome=outcome, attempts=failure.attempts)
        return Outgoing(
            body=failure.body,
            routing_key=retry or self._topology.dead,
            content_type=EVENT_CONTENT_TYPE,
            message_id=failure.message_id,
            headers={
                ATTEMPTS: failure.attempts,
                REASON: failure.reason,
                FIRST_FAILED: failure.first_failed_at,
                LAST_FAILED: _now(),
            },
        )


def _attempts(headers: Mapping[str, object]) -> int:
    attempts = headers.get(ATTEMPTS)
    return attempts if isinstance(attempts, int) else 0


def _first_failed(headers: Mapping[str, object]) -> str:
    first = headers.get(FIRST_FAILED)
    return first if isinstance(first, str) else _now()


def _now() -> str:
    return datetime.now(UTC).isoformat()
