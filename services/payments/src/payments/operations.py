"""Composes what calls Stripe's API, for the service and for its command line."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from payments.service import operations_worker
from payments.service.fetch_objects import Fetcher, ObjectReader
from payments.service.fetched import FetchedTaker
from payments.service.process_events import EventProcessor
from payments.service.reconcile import Reconciler
from payments.service.reconcile_objects import ObjectWalk
from payments.service.request_refund import RefundDesk
from payments.settings import Settings
from payments.stripe_gateway import StripeApi
from shared.service import Background
from shared.signal import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The parts that need an API key."""

    api: StripeApi
    refunds: RefundDesk
    fetcher: Fetcher
    reconciler: Reconciler

    def workers(self, settings: Settings, committed: Signal) -> dict[str, Background]:
        """Return what a service runs in the background; reconcile only when it is scheduled."""
        work: dict[str, Background] = {
            "send-refunds": lambda _: operations_worker.send_refunds(self.refunds, committed=committed),
            "fetch-objects": lambda _: operations_worker.fetch_objects(self.fetcher),
        }
        if settings.reconcile_every_minutes:
            every = timedelta(minutes=settings.reconcile_every_minutes)
            work["reconcile"] = lambda _: operations_worker.reconcile(self.reconciler, every=every)
        return work


def operations(
    settings: Settings,
    engine: AsyncEngine,
    processor: EventProcessor,
    *,
    source: str,
    committed: Callable[[], None] = lambda: None,
) -> Operations | None:
    """Return them, or ``None`` without a key. ``committed`` is called after what may have left events to send."""
    if settings.stripe_api_key is None:
        return None
    key = settings.stripe_api_key.get_secret_value()
    api = StripeApi(key, base=settings.stripe_api_base, account=settings.stripe_account)
    return operations_on(api, settings, engine, processor, source=source, committed=committed)


def operations_on(
    api: StripeApi,
    settings: Settings,
    engine: AsyncEngine,
    processor: EventProcessor,
    *,
    source: str,
    committed: Callable[[], None] = lambda: None,
) -> Operations:
    """Return them on an API of the caller's."""
    taker = FetchedTaker(engine, source, settings.livemode, committed)
    reader = ObjectReader(api)
    fetcher = Fetcher(engine, reader, taker)
    reconciler = Reconciler(
        engine=engine,
        api=api,
        processor=processor,
        walk=ObjectWalk(engine, reader, taker),
        fetcher=fetcher,
        overlap=timedelta(minutes=settings.reconcile_overlap_minutes),
    )
    return Operations(api=api, refunds=RefundDesk(engine, api, source), fetcher=fetcher, reconciler=reconciler)
