"""The legacy API over an engine, without broker and server."""

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.api_bookings import create_router
from bookings_gateway.domain import DEFAULT_LAYOUT, Layout
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.service import Bookings
from shared.signal import Signal


def bookings_of(engine: AsyncEngine, layout: Layout = DEFAULT_LAYOUT) -> Bookings:
    """Return the use cases on a table of this layout."""
    tables = LegacyTableCache("bookings", layout)
    return Bookings(engine, tables, Signal(), currency="GBP", zone="Europe/London")


def client_of(engine: AsyncEngine, layout: Layout = DEFAULT_LAYOUT) -> httpx.AsyncClient:
    """Return a client of the legacy API; paths begin after ``/api/admin``."""
    app = FastAPI()
    app.include_router(create_router(bookings_of(engine, layout)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway/api/admin")
