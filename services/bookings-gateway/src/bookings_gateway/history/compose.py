"""The parts of moving the history, put together from settings: for the command line and for the service."""

from contextlib import AbstractAsyncContextManager

from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.capture import Capture
from bookings_gateway.history import others
from bookings_gateway.history.move import History
from bookings_gateway.history.others import Others
from bookings_gateway.settings import Settings
from shared.signal import Signal


def history(engine: AsyncEngine, settings: Settings) -> History:
    """Return the history of the legacy table these settings name."""
    capture = Capture(Signal(), settings.layout, settings.currency, settings.zone)
    return History(engine, settings.legacy_table, settings.layout, settings.currency, settings.zone, capture)


def report_key(settings: Settings) -> str | None:
    """Return the key reports are signed with."""
    return settings.report_key.get_secret_value() if settings.report_key else None


def asking(settings: Settings) -> AbstractAsyncContextManager[Others]:
    """Connect to the other services."""
    token = settings.internal_token.get_secret_value() if settings.internal_token else None
    own = f"http://{settings.host}:{settings.port}"
    urls = {"users": settings.users_url, "payments": settings.payments_url, "stats": settings.stats_url}
    return others.asking({**urls, "bookings-gateway": own}, token)
