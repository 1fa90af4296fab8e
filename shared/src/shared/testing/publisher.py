"""An in-memory broker to publish to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.publisher import NotPublished, Outgoing


@dataclass
class InMemoryPublisher:
    """Keeps what is published. ``bindings`` are topic patterns; what matches none is returned.

    Set ``away`` to be unreachable; put a message id into ``refused`` to have that message refused.
    """

    bindings: Sequence[str] = ("#",)
    sent: list[Outgoing] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    away: bool = False

    async def publish(self, messages: Sequence[Outgoing]) -> list[NotPublished | None]:
        if self.away:
            raise ConnectionError("the broker cannot be reached")
        return [self._take(message) for message in messages]

    def _take(self, message: Outgoing) -> NotPublished | None:
        if message.message_id in self.refused:
            return NotPublished("refused")
        if not any(_matches(pattern, message.routing_key) for pattern in self.bindings):
            return NotPublished("no queue takes this routing key")
        self.sent.append(message)
        return None

    async def aclose(self) -> None:
        """Nothing to close; publishing afterwards works, as with the broker's."""


def _matches(pattern: str, key: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", "[^.]+").replace(r"\#", ".*").replace("#", ".*")
    return re.fullmatch(expression, key) is not None
