"""What live writers changed is told before anything else: a long backlog in transactions of its own."""

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.capture import PAGE, Capture
from bookings_gateway.history.patience import Patience

_WHY = "what live writers changed is told first"


async def tell_backlog(
    engine: AsyncEngine, capture: Capture, name: str, patience: Patience, *, say: Callable[[str], Awaitable[None]]
) -> None:
    """Tell changes, a page to a transaction, until there are few enough to be told in passing.

    So whoever holds the run while it captures first does not hold it long. ``say`` gives signs of life meanwhile, and
    raises what ends the run.
    """
    while True:
        async with engine.begin() as connection:
            await patience.bound_waits(connection)
            told = await capture.capture_next(connection, name)
        if told < PAGE:
            return
        await say(_WHY)
