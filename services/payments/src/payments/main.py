"""The payments service: settings in, application out."""

from fastapi import FastAPI

from payments import api_history
from payments.api import Webhook, add_routes
from payments.api_payments import Door, router
from payments.handlers import BINDINGS, BookingsHandler
from payments.operations import operations
from payments.service import erase_users, worker
from payments.service.examine import Expected
from payments.service.process_events import EventProcessor
from payments.service.record_delivery import DeliveryRecorder
from payments.service.record_manual_payment import CashDesk
from payments.settings import Settings
from shared.service import Background, Service
from shared.signal import Signal
from shared.web import create_app as create_web_app

NAME = "payments"
PUBLISHES = (
    "payment.pending",
    "payment.succeeded",
    "payment.failed",
    "payment.canceled",
    "payment.refunded",
    "payment.disputed",
)


def compose(settings: Settings) -> FastAPI:
    """Return the application for these settings."""
    stored = Signal()
    background: dict[str, Background] = {
        "record-deliveries": lambda _: recorder.run(),
        "redact-erased": lambda service: erase_users.run(service.engine),
        "process-events": lambda service: worker.run(processor, stored=stored, committed=service.committed),
    }
    service = Service(
        settings,
        name=NAME,
        bindings=BINDINGS,
        publishes=PUBLISHES,
        handler=lambda service: BookingsHandler(service.source),
        background=background,
    )
    recorder = DeliveryRecorder(service.engine, stored)
    expected = Expected(livemode=settings.livemode, account=settings.stripe_account)
    processor = EventProcessor(service.engine, service.source, expected)
    called = operations(settings, service.engine, processor, source=service.source, committed=service.committed.set)
    if called:
        background.update(called.workers(settings, service.committed))
    app = create_web_app(service, title="payments", description="Turns Stripe's webhooks into payment events.")
    door = Door(
        engine=service.engine,
        source=service.source,
        settings=settings,
        cash=CashDesk(service.engine, service.source),
        refunds=called.refunds if called else None,
        committed=service.committed.set,
    )
    app.include_router(router(door))
    app.include_router(api_history.create_router(service.engine, settings))
    add_routes(app, Webhook(settings, recorder))
    return app


def create_app() -> FastAPI:
    """Return the application, settings read from the environment."""
    return compose(Settings())
