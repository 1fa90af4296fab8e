"""The stats service: settings in, application out."""

from fastapi import FastAPI

from shared.service import Service
from shared.web import create_app as create_web_app
from stats import api
from stats.handlers import JournalHandler
from stats.service.upkeep import look_after
from stats.settings import Settings

NAME = "stats"
BINDINGS = ("booking.*", "payment.*", "user.*")
PUBLISHES = ("user_totals.changed",)


def create_service(settings: Settings) -> Service:
    """Return the service's moving parts, not yet running."""
    return Service(
        settings,
        name=NAME,
        bindings=BINDINGS,
        publishes=PUBLISHES,
        handler=lambda service: JournalHandler(service.source),
        background={"upkeep": look_after},
    )


def create_app() -> FastAPI:
    """Return the application, settings read from the environment."""
    settings = Settings()
    service = create_service(settings)
    app = create_web_app(service, title="stats", description="User totals and activity, from events.")
    app.include_router(api.create_router(service.engine, settings))
    return app
