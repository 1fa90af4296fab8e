"""The payments service: settings in, application out."""

from fastapi import FastAPI

from payments.api import Webhook, add_routes
from payments.handlers import BookingsHandler
from payments.service import worker
from payments.service.examine import Expected
from payments.service.process_events import EventProcessor
from payments.service.record_delivery import DeliveryRecorder
from payments.settings import Settings
from shared.service import Service
from shared.signal import Signal
from shared.web import create_app as create_web_app

NAME = "payments"
BINDINGS = ("booking.*", "user.booking_linked")
PUBLISHES = ("payment.pending", "payment.succeeded", "payment.failed", "payment.canceled", "payment.refunded")


def compose(settings: Settings) -> FastAPI:
    """Return the application for these settings."""
    stored = Signal()
    service = Service(
        settings,
        name=NAME,
        bindings=BINDINGS,
        publishes=PUBLISHES,
        handler=lambda service: BookingsHandler(service.source),
        background={
            "record-deliveries": lambda _: recorder.run(),
            "process-events": lambda service: worker.run(processor, stored=stored, committed=service.committed),
        },
    )
    recorder = DeliveryRecorder(service.engine, stored)
    expected = Expected(livemode=settings.livemode, account=settings.stripe_account)
    processor = EventProcessor(service.engine, service.source, expected)
    app = create_web_app(service, title="payments", description="Turns Stripe's webhooks into payment events.")
    add_routes(app, Webhook(settings, recorder))
    return app


def create_app() -> FastAPI:
    """Return the application, settings read from the environment."""
    return compose(Settings())
