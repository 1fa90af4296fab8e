"""Whether a broker really serves: a login, not a TCP ping."""

import asyncio

import aiormq
import aiormq.exceptions

from local_stack.coroutines import run_coroutine

_ANSWER_SECONDS = 3.0


def lets_in(url: str) -> bool:
    """Whether the broker at `url` completes an AMQP login to its virtual host now."""
    return run_coroutine(_lets_in(url))


async def _lets_in(url: str) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            connection = await aiormq.connect(url)
            await connection.close()
    except (OSError, TimeoutError, aiormq.exceptions.AMQPError):
        return False
    return True
