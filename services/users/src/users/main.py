"""The users service: settings in, application out."""

from datetime import timedelta

from fastapi import FastAPI

from shared.service import Background, Service
from shared.web import create_app as create_web_app
from users import api_history
from users.api import Door, router
from users.handlers import BookingsHandler
from users.service.forget_letters import look_for_letters
from users.service.suggest_duplicates import look_for_duplicates
from users.settings import Settings

NAME = "users"
BINDINGS = ("booking.*",)
PUBLISHES = (
    "user.registered",
    "user.updated",
    "user.booking_linked",
    "user.merged",
    "user.unmerged",
    "user.erased",
)


def create_service(settings: Settings) -> Service:
    """Return the service's moving parts, not yet running."""
    every = timedelta(minutes=settings.duplicates_every_minutes)
    background: dict[str, Background] = {"forget-letters": lambda service: look_for_letters(service.engine)}
    if every:
        background["look-for-duplicates"] = lambda service: look_for_duplicates(service.engine, every)
    return Service(
        settings,
        name=NAME,
        bindings=BINDINGS,
        publishes=PUBLISHES,
        handler=lambda service: BookingsHandler(service.source, phone_region=settings.phone_region),
        background=background,
    )


def compose(settings: Settings) -> FastAPI:
    """Return the application for these settings."""
    service = create_service(settings)
    app = create_web_app(service, title="users", description="Makes people out of bookings.")
    door = Door(engine=service.engine, source=service.source, settings=settings, committed=service.committed.set)
    app.include_router(router(door))
    app.include_router(api_history.create_router(service.engine, settings))
    return app


def create_app() -> FastAPI:
    """Return the application, settings read from the environment."""
    return compose(Settings())
