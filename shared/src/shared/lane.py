"""A lane: how events of one urgency go out and come in. Every service has two, live and bulk, and neither waits for
the other.
"""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.consumer import Consumer, Handler
from shared.failures import Failures
from shared.publisher import Publisher
from shared.relay import Relay
from shared.signal import Signal
from shared.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane's relay and consumer. ``committed`` wakes the relay after a commit."""

    name: str
    committed: Signal
    publisher: Publisher
    relay: Relay
    consumer: Consumer

    @classmethod
    def of(
        cls, engine: AsyncEngine, publisher: Publisher, handler: Handler, failures: Failures, *, queue: str, bulk: bool
    ) -> "Lane":
        """Return the lane that consumes ``queue``, not yet running."""
        committed = Signal()
        return cls(
            name="bulk" if bulk else "live",
            committed=committed,
            publisher=publisher,
            relay=Relay(engine, publisher, committed, bulk=bulk),
            consumer=Consumer(
                queue=queue,
                engine=engine,
                handler=handler,
                failures=failures,
                after_commit=committed.set,
                bulk=bulk,
            ),
        )

    def start_sending(self, tasks: Tasks) -> None:
        tasks.start(f"relay-{self.name}", self.relay.run)

    def start_consuming(self, tasks: Tasks) -> None:
        tasks.start(f"consume-{self.name}", self.consumer.run)
