"""Publishing that is sure: pipelined, persistent, mandatory, confirmed one by one."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import aiormq
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic

from shared.channel import BROKER_TROUBLE, ReopeningChannel

_PERSISTENT = 2
_CONFIRM_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be: ``exchange`` "" is the default exchange, whose routing key is a queue's name."""

    body: bytes
    routing_key: str
    content_type: str
    message_id: str
    exchange: str = ""
    headers: Mapping[str, str | int] = field(default_factory=dict)


class NotPublished(Exception):
    """The broker returned or refused this message, or nobody knows: it counts as not sent."""


class Publisher(Protocol):
    """What sends messages. Held to one behaviour suite: the broker's and the in-memory one."""

    async def publish(self, messages: Sequence[Outgoing]) -> list[NotPublished | None]:
        """Send in order; return for each message ``None`` once the broker has it safe, or why it has not.

        Raises ``ConnectionError`` when the broker cannot be reached: then nothing was sent.
        """
        ...

    async def aclose(self) -> None: ...


class RabbitPublisher:
    """The broker's publisher, on a channel of its own."""

    def __init__(self, url: str) -> None:
        self._channel = ReopeningChannel(url)

    async def publish(self, messages: Sequence[Outgoing]) -> list[NotPublished | None]:
        channel = await self._channel.get()
        outcomes = await asyncio.gather(
            *(_publish_one(channel, message) for message in messages), return_exceptions=True
        )
        if any(isinstance(outcome, TimeoutError) for outcome in outcomes):
            await self.aclose()  # a stalled broker: what comes late on this channel is not for us any more
        return [_not_published(outcome) for outcome in outcomes]

    async def aclose(self) -> None:
        await self._channel.aclose()


async def _publish_one(channel: AbstractChannel, message: Outgoing) -> None:
    await channel.basic_publish(
        message.body,
        exchange=message.exchange,
        routing_key=message.routing_key,
        properties=Basic.Properties(
            delivery_mode=_PERSISTENT,
            content_type=message.content_type,
            message_id=message.message_id,
            headers=dict(message.headers),
        ),
        mandatory=True,
        timeout=_CONFIRM_TIMEOUT,
        wait=False,  # type: ignore[call-arg] # for the socket to drain, that is; the confirm is always awaited
    )


def _not_published(outcome: BaseException | None) -> NotPublished | None:
    if outcome is None:
        return None
    if isinstance(outcome, aiormq.exceptions.PublishError):
        return NotPublished("no queue takes this routing key")
    if isinstance(outcome, (*BROKER_TROUBLE, asyncio.CancelledError)):
        return NotPublished(f"{type(outcome).__name__}: {outcome}")
    raise outcome
