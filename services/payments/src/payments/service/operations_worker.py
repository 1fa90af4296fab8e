"""What runs beside processing when Stripe's API may be called: refunds to be sent, objects to be read, reconcile."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from payments.errors import AlreadyReconciling, StripeAway, StripeRefused
from payments.service.fetch_objects import Fetcher
from payments.service.reconcile import Reconciler
from payments.service.request_refund import RefundDesk
from shared.database import is_transient
from shared.signal import Signal

log = structlog.get_logger(__name__)

_LOOK_EVERY = 2.0
_SETTLING_SECONDS = 10.0
_RECONCILE_LOOK_EVERY = 60.0


async def send_refunds(desk: RefundDesk, *, committed: Signal) -> None:
    """Send what is due again, until cancelled."""

    async def work() -> None:
        while await desk.send_due():
            committed.set()

    await _keep("send_refunds", work, every=_LOOK_EVERY)


async def fetch_objects(fetcher: Fetcher) -> None:
    """Answer fetch requests, until cancelled."""

    async def work() -> None:
        await fetcher.fetch_due(pause_seconds=_SETTLING_SECONDS)

    await _keep("fetch_objects", work, every=_LOOK_EVERY)


async def reconcile(reconciler: Reconciler, *, every: timedelta) -> None:
    """Reconcile whenever the last complete run is ``every`` ago, whoever made it, until cancelled."""

    async def work() -> None:
        finished = await reconciler.last_finished()
        if finished is None or datetime.now(UTC) - finished >= every:
            await reconciler.run()

    await _keep("reconcile", work, every=_RECONCILE_LOOK_EVERY)


async def _keep(name: str, work: Callable[[], Awaitable[None]], *, every: float) -> None:
    """Do it again and again; what a later round may mend is logged and waited for."""
    while True:
        try:
            await work()
        except (StripeAway, StripeRefused, AlreadyReconciling) as error:
            log.warning("operation_waits", operation=name, error=str(error))
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("operation_interrupted", operation=name, error=repr(error)[:500])
        await asyncio.sleep(every)
