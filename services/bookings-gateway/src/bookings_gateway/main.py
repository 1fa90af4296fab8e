"""The bookings gateway: settings in, application out."""

from datetime import timedelta

from fastapi import Depends, FastAPI
from starlette.middleware import Middleware

from bookings_gateway import api_access, api_migration, api_payments, api_rollout, api_search, api_users
from bookings_gateway.access.browser import Browser
from bookings_gateway.access.documented import document_access
from bookings_gateway.access.guard import Access, guard
from bookings_gateway.access.recent import Recent
from bookings_gateway.access.sessions import Sessions
from bookings_gateway.access.upkeep import Upkeep
from bookings_gateway.admin_door import AdminDoor
from bookings_gateway.api_bookings import create_router
from bookings_gateway.capture import Capture
from bookings_gateway.erase import Erase
from bookings_gateway.export_turns import ExportTurns
from bookings_gateway.handlers import ReadModelHandler
from bookings_gateway.history import compose as history_parts
from bookings_gateway.history import worker
from bookings_gateway.legacy_errors import answer_in_legacy_form
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.openapi_examples import document_examples
from bookings_gateway.remote import Part, Remote
from bookings_gateway.rollout.flags import SHIPPED, Flags
from bookings_gateway.rollout.shadow import Shadow
from bookings_gateway.rollout.switch import Rollout
from bookings_gateway.service import Bookings
from bookings_gateway.settings import Settings
from bookings_gateway.write_back import WriteBack
from shared.service import Service
from shared.signal import Signal
from shared.web import create_app as create_web_app

NAME = "bookings-gateway"
BINDINGS = ("user.*", "payment.*", "user_totals.changed", "booking.*")
PUBLISHES = ("booking.created", "booking.updated", "booking.deleted")
SEARCH_PATH = "gateway,public"


def compose(settings: Settings) -> tuple[Service, Rollout, AdminDoor]:
    """Return the service's moving parts, not yet running, and what its doors call."""
    changed = Signal()
    remote = remote_of(settings)
    tables = LegacyTableCache(settings.legacy_table, settings.layout)
    flags = Flags(settings.flags_file or SHIPPED)
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
            "flags": flags.run,
            "shadow": lambda service: rollout.shadow.run(service),
            "erase": Erase(tables, changed, settings.zone).run,
            "remote": remote.run,
            "access-upkeep": Upkeep(sessions_of(settings)).run,
        },
        search_path=SEARCH_PATH,
    )
    bookings = Bookings(service.engine, tables, changed, currency=settings.currency, zone=settings.legacy_timezone)
    rollout = Rollout(flags, bookings, Shadow(bookings, settings.zone))
    return service, rollout, AdminDoor(engine=service.engine, remote=remote, currency=settings.currency)


def create_app() -> FastAPI:
    """Return the application, settings read from the environment."""
    settings = Settings()
    return application(settings, *compose(settings))


def application(settings: Settings, service: Service, rollout: Rollout, door: AdminDoor) -> FastAPI:
    """Return the application of these parts."""
    app = create_web_app(
        service, title="bookings-gateway", description="The legacy bookings API, kept; its changes, published."
    )
    answer_in_legacy_form(app)
    app.include_router(create_router(rollout))
    app.include_router(api_rollout.create_router(service.engine, rollout.flags))
    app.include_router(api_migration.create_router(history_parts.history(service.engine, settings)))
    add_admin(app, rollout.flags, door)
    add_access(app, service, settings)
    app.user_middleware.append(Middleware(ExportTurns, most=settings.database_pool // 4))
    return app


def add_admin(app: FastAPI, flags: Flags, door: AdminDoor) -> None:
    """Add the new admin API, for those its flag lets in."""
    for api in (api_users, api_payments, api_search):
        app.include_router(api.router(door), dependencies=[Depends(flags.require_new_endpoints)])


def add_access(app: FastAPI, service: Service, settings: Settings) -> None:
    """Add login and audit, and put the guard before all routes, which are there by now."""
    browser, sessions = Browser(settings.origins, settings.secure_cookies), sessions_of(settings)
    recent = Recent(settings.access_cache_seconds)
    app.include_router(api_access.create_router(api_access.AccessDoor(service.engine, sessions, browser, recent)))
    document_access(app, browser)
    document_examples(app)
    autocommit = service.engine.execution_options(isolation_level="AUTOCOMMIT")
    guard(app, Access(autocommit, sessions, browser, recent))


def sessions_of(settings: Settings) -> Sessions:
    """Return when sessions end."""
    idle, lifetime = timedelta(minutes=settings.session_idle_minutes), timedelta(hours=settings.session_hours)
    return Sessions(idle=idle, lifetime=lifetime)


def remote_of(settings: Settings) -> Remote:
    """Return the clients of the other services."""
    urls = {
        Part.USERS: settings.users_url,
        Part.PAYMENTS: settings.payments_url,
        Part.STATS: settings.stats_url,
    }
    return Remote(urls, settings.internal_token)
