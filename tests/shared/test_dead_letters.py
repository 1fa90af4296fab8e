"""What is sent back once is sent back once, however soon it fails again."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.dead_letters import DeadLetters
from shared.publisher import NotPublished, Outgoing
from shared.testing.publisher import InMemoryPublisher
from support.letters import set_aside

MORE_THAN_A_PAGE = 501


@dataclass
class FailingAtOnce(InMemoryPublisher):
    """A broker whose consumer sets everything aside again before the next page is read."""

    engine: AsyncEngine | None = None

    async def publish(self, messages: Sequence[Outgoing]) -> list[NotPublished | None]:
        assert len(self.sent) <= MORE_THAN_A_PAGE, "it goes on for ever"
        assert self.engine is not None
        for message in messages:
            await set_aside(self.engine, message.body)
        return await super().publish(messages)


async def test_requeueing_all_ends_though_all_come_back(make_engine: Callable[[str], Awaitable[AsyncEngine]]) -> None:
    engine = await make_engine("sample")
    for _ in range(MORE_THAN_A_PAGE):
        await set_aside(engine, b"{}")
    publisher = FailingAtOnce(engine=engine)

    sent = await DeadLetters(engine).requeue(publisher, "sample.events", ids=None, by="ann")
    assert (sent, len(publisher.sent)) == (MORE_THAN_A_PAGE, MORE_THAN_A_PAGE)
    assert len(await DeadLetters(engine).find(limit=1000)) == MORE_THAN_A_PAGE
