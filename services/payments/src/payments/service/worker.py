"""Keeps processing: woken when a delivery was stored, polling as the safety net."""

import asyncio

import structlog

from payments.service.process_events import GROUP, EventProcessor
from shared.database import is_transient
from shared.signal import AdaptivePoll, Pace, Signal

log = structlog.get_logger(__name__)

_LONGEST_PAUSE = 5.0
# A burst is taken in larger groups: a transaction costs as much as ten events in it, and what one leaves in the outbox
# travels in as few messages. What comes alone never waits.
_BURST = 10
_PACE_SECONDS = 0.1


async def run(processor: EventProcessor, *, stored: Signal, committed: Signal) -> None:
    """Process until cancelled. An unreachable database is waited for, whatever it takes."""
    poll, pace = AdaptivePoll(), Pace(_PACE_SECONDS)
    pause = 0.1
    while True:
        try:
            settled = await processor.process_due()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("processing_interrupted", error=repr(error)[:500])
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            continue
        pause = 0.1
        if settled:
            committed.set()
        if settled < GROUP:
            await stored.wait(poll.next(worked=settled > 0))
        if _BURST < settled < GROUP:
            await pace.keep()
