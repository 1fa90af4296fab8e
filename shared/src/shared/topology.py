"""Exchanges, queues and bindings as code, the same on RabbitMQ 3.10 to 4.x.

Queue names and arguments are a contract with the replicas of an older version during a rolling restart: add,
never change (RabbitMQ refuses a changed argument with 406). Declared targets first, because at-least-once
dead-lettering to a queue that does not exist yet waits for minutes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import aiormq
from aiormq.abc import AbstractChannel

EXCHANGE = "domain.events"
UNROUTED = "domain.events.unrouted"

RETRY_DELAYS = (
    timedelta(seconds=1),
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
)

# The last resort. High enough that restarts and a database away for days never cost a healthy message (the broker
# closes a channel that does not answer for half an hour, and counts); what kills the process is found out long before,
# see suspects.py.
_DELIVERY_LIMIT = 200

# Written out, because 4.x would give a queue without a limit one of 20, and these must never drop.
_NO_DELIVERY_LIMIT = 1_000_000


class TopologyConflict(Exception):
    """A queue or exchange exists with other arguments than this version declares.

    Nothing was changed. Drain and delete the old one, or give the new one another name.
    """


@dataclass(frozen=True, slots=True)
class Topology:
    """One service's queues. ``bindings`` are the routing keys it consumes, such as ``booking.*``."""

    service: str
    bindings: tuple[str, ...]
    retry_delays: tuple[timedelta, ...] = RETRY_DELAYS

    @property
    def events(self) -> str:
        """The queue of live events."""
        return f"{self.service}.events"

    @property
    def bulk(self) -> str:
        """The queue imports and replays come by, so that live events are never behind them."""
        return f"{self.service}.bulk"

    @property
    def dead(self) -> str:
        """The dead-letter queue, drained into a table."""
        return f"{self.service}.dead"

    def retry(self, attempts: int) -> str | None:
        """The delay queue after this many failed attempts; ``None`` when they are used up."""
        if attempts > len(self.retry_delays):
            return None
        return f"{self.service}.retry.{_tier(self.retry_delays[attempts - 1])}"

    @property
    def retries(self) -> list[str]:
        """The delay queues."""
        return [f"{self.service}.retry.{_tier(delay)}" for delay in self.retry_delays]


async def declare(channel: AbstractChannel, topology: Topology) -> None:
    """Declare everything this service needs; may be called again at any time, and mends what was deleted.

    Raises :class:`TopologyConflict` when the broker holds something of another shape.
    """
    try:
        await _declare_shared(channel)
        await _declare_service(channel, topology)
    except aiormq.exceptions.ChannelPreconditionFailed as error:
        raise TopologyConflict(f"{TopologyConflict.__doc__} The broker says: {error}") from error


async def _declare_shared(channel: AbstractChannel) -> None:
    await channel.exchange_declare(exchange=UNROUTED, exchange_type="fanout", durable=True)
    await _queue(channel, UNROUTED, {"x-delivery-limit": _NO_DELIVERY_LIMIT})
    await channel.queue_bind(UNROUTED, UNROUTED)
    await channel.exchange_declare(
        exchange=EXCHANGE, exchange_type="topic", durable=True, arguments={"alternate-exchange": UNROUTED}
    )


async def _declare_service(channel: AbstractChannel, topology: Topology) -> None:
    await _queue(channel, topology.dead, {"x-delivery-limit": _NO_DELIVERY_LIMIT})
    for queue in (topology.events, topology.bulk):
        await _queue(channel, queue, {"x-delivery-limit": _DELIVERY_LIMIT, **_dead_lettering_to(topology.dead)})
    for attempt, delay in enumerate(topology.retry_delays, start=1):
        ttl = {"x-message-ttl": int(delay.total_seconds() * 1000)}
        await _queue(
            channel,
            topology.retry(attempt) or "",
            {**ttl, **_dead_lettering_to(topology.events), "x-delivery-limit": _NO_DELIVERY_LIMIT},
        )
    for key in topology.bindings:
        await _subscribe(channel, topology.events, key)
        await _subscribe(channel, topology.bulk, f"bulk.{key}")


async def _queue(channel: AbstractChannel, name: str, arguments: Mapping[str, str | int]) -> None:
    await channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum", **arguments})


async def _subscribe(channel: AbstractChannel, queue: str, key: str) -> None:
    """Bind twice, by two patterns that mean the same (``#`` is no word or more): a queue gets each message once.

    When a binding goes missing while other services still take the same events, nobody would notice: the event was
    routed. The twin holds the fort until the next declaration, seconds later, restores the pair.
    """
    for pattern in (key, f"{key}.#"):
        await channel.queue_bind(queue, EXCHANGE, routing_key=pattern)


def _dead_lettering_to(queue: str) -> dict[str, str | int]:
    """At least once: the message stays where it is until the target has confirmed it (needs reject-publish)."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _tier(delay: timedelta) -> str:
    """Name a delay as people say it: 1s, 10s, 1m, 15m."""
    milliseconds = int(delay.total_seconds() * 1000)
    for unit, size in (("m", 60_000), ("s", 1_000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
