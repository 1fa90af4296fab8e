"""One AMQP channel that is opened again after it, or its connection, was lost."""

import asyncio

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection

_OPEN_TIMEOUT = 5.0

BROKER_TROUBLE = (
    OSError,
    TimeoutError,
    aiormq.exceptions.AMQPError,
    aiormq.exceptions.ChannelInvalidStateError,  # a RuntimeError, raised by whatever is done on a closed channel
)


class ReopeningChannel:
    """A channel on a connection of its own. Nothing is restored by itself: who uses it declares what it needs.

    Publishing, probing and consuming each have their own, because a broker short of memory blocks publishing
    connections, and a failed passive declaration closes its channel.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()

    async def get(self) -> AbstractChannel:
        """Return the open channel; raises ``ConnectionError`` when the broker is away."""
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await self._open()
            return self._channel

    async def _open(self) -> AbstractChannel:
        await self._discard()
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT):
                self._connection = await aiormq.connect(self._url)
                return await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        except BROKER_TROUBLE as error:
            await self._discard()
            raise ConnectionError(f"the broker cannot be reached: {error!r}") from error

    async def aclose(self) -> None:
        """Close channel and connection; the next :meth:`get` opens new ones."""
        async with self._opening:
            await self._discard()

    async def _discard(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and not connection.is_closed:
            await connection.close()
