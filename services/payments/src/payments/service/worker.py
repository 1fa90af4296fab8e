"""Keeps processing: woken when a delivery was stored, polling as the safety net."""

import asyncio

import structlog

from payments.service.process_events import GROUP, EventProcessor
from shared.database import is_transient
from shared.signal import AdaptivePoll, Pace, Signal

log = structlog.get_logger(__name__)

_LONGEST_PAUSE = 5.0
_PACE_SECONDS = 0.015


async def run(processor: EventProcessor, *, stored: Signal, committed: Signal) -> None:
    """Process until cancelled. An unreachable database is waited for, whatever it takes."""
    poll, pace = AdaptivePoll(shortest=0.25), Pace(_PACE_SECONDS)  # the poll finds what failed and is due again
    pause = 0.1
    while True:
        await pace.begin()
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
        pace.end(full=settled == GROUP)
        if settled:
            committed.set()
        if settled < GROUP:
            await stored.wait(poll.next(worked=settled > 0))
