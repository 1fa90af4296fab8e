"""The users service: settings in, application out."""

from fastapi import FastAPI

from shared.service import Service
from shared.web import create_app as create_web_app
from users import api_history
from users.handlers import BookingsHandler
from users.settings import Settings

NAME = "users"
BINDINGS = ("booking.*",)
PUBLISHES = ("user.registered", "user.updated", "user.booking_linked")


def create_service(settings: Settings) -> Service:
    """Return the service's moving parts, not yet running."""
    return Service(
        settings,
        name=NAME,
        bindings=BINDINGS,
        publishes=PUBLISHES,
        handler=lambda service: BookingsHandler(service.source),
    )


def create_app() -> FastAPI:
    """Return the application, settings read from the environment."""
    settings = Settings()
    service = create_service(settings)
    app = create_web_app(service, title="users", description="Makes people out of bookings.")
    app.include_router(api_history.create_router(service.engine, settings))
    return app
