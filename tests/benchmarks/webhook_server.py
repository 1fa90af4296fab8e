"""The payments service as one process, with or without processing: ``python -m benchmarks.webhook_server accept``."""

import sys

from fastapi import FastAPI

from payments.api import Webhook, add_routes
from payments.handlers import BINDINGS, BookingsHandler
from payments.main import NAME, create_app
from payments.service.record_delivery import DeliveryRecorder
from payments.settings import Settings
from shared.server import serve
from shared.service import Service
from shared.signal import Signal
from shared.web import create_app as create_web_app


def accept_only() -> FastAPI:
    """Everything the service is but the worker that processes what was stored."""
    settings = Settings()
    service = Service(
        settings,
        name=NAME,
        bindings=BINDINGS,
        handler=lambda service: BookingsHandler(service.source),
        background={"record-deliveries": lambda _: recorder.run()},
    )
    recorder = DeliveryRecorder(service.engine, Signal())
    app = create_web_app(service, title="payments", description="accept only")
    add_routes(app, Webhook(settings, recorder))
    return app


serve(Settings(), name=NAME, create=accept_only if sys.argv[1:] == ["accept"] else create_app)
