"""The legacy API over an engine, without broker and server."""

from uuid import UUID

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access.actor import Actor, Role, current_actor
from bookings_gateway.api_bookings import create_router
from bookings_gateway.domain import DEFAULT_LAYOUT, Layout
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.service import Bookings
from shared.signal import Signal

SOMEBODY = Actor(UUID(int=1), "ann@office.example", Role.ADMIN)


def bookings_of(engine: AsyncEngine, layout: Layout = DEFAULT_LAYOUT) -> Bookings:
    """Return the use cases on a table of this layout."""
    tables = LegacyTableCache("bookings", layout)
    return Bookings(engine, tables, Signal(), currency="GBP", zone="Europe/London")


def client_of(
    engine: AsyncEngine, layout: Layout = DEFAULT_LAYOUT, *, base_url: str = "http://gateway/api/admin"
) -> httpx.AsyncClient:
    """Return an administrator's client of the legacy API."""
    app = FastAPI()
    app.include_router(create_router(bookings_of(engine, layout)))
    app.dependency_overrides[current_actor] = lambda: SOMEBODY
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)
