"""The bookings gateway: settings in, application out."""

from fastapi import FastAPI

from bookings_gateway import api_migration
from bookings_gateway.api import create_router
from bookings_gateway.capture import Capture
from bookings_gateway.handlers import ReadModelHandler
from bookings_gateway.history import compose as history_parts
from bookings_gateway.history import worker
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.service import Bookings
from bookings_gateway.settings import Settings
from bookings_gateway.write_back import WriteBack
from shared.service import Service
from shared.signal import Signal
from shared.web import create_app as create_web_app

NAME = "bookings-gateway"
BINDINGS = ("user.*", "payment.*", "user_totals.changed")
PUBLISHES = ("booking.created", "booking.updated", "booking.deleted")
SEARCH_PATH = "gateway,public"


def compose(settings: Settings) -> tuple[Service, Bookings]:
    """Return the service's moving parts, not yet running, and its use cases."""
    changed = Signal()
    tables = LegacyTableCache(settings.legacy_table, settings.layout)
    service = Service(
        settings,
        name=NAME,
        bindings=BINDINGS,
        publishes=PUBLISHES,
        handler=lambda _: ReadModelHandler(settings.currency),
        background={
            "capture": Capture(changed, settings.layout, settings.currency, settings.zone).run,
            "write-back": WriteBack(tables, changed, settings.legacy_timezone).run,
            "history": worker.run,
        },
        search_path=SEARCH_PATH,
    )
    return service, Bookings(service.engine, tables, changed, settings.currency, settings.legacy_timezone)


def create_app() -> FastAPI:
    """Return the application, settings read from the environment."""
    settings = Settings()
    service, bookings = compose(settings)
    app = create_web_app(
        service, title="bookings-gateway", description="The legacy bookings API, kept; its changes, published."
    )
    app.include_router(create_router(bookings))
    app.include_router(api_migration.create_router(history_parts.history(service.engine, settings)))
    return app
