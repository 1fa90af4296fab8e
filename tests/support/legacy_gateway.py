"""The legacy API over an engine, without broker and server."""

from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access.actor import Actor, Role, current_actor
from bookings_gateway.api_bookings import create_router
from bookings_gateway.domain import DEFAULT_LAYOUT, Layout
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.rollout.flags import SHIPPED, Flags
from bookings_gateway.rollout.shadow import Shadow
from bookings_gateway.rollout.switch import Rollout
from bookings_gateway.service import Bookings
from shared.signal import Signal

SOMEBODY = Actor(UUID(int=1), "ann@office.example", Role.ADMIN)


def bookings_of(engine: AsyncEngine, layout: Layout = DEFAULT_LAYOUT) -> Bookings:
    """Return the use cases on a table of this layout."""
    tables = LegacyTableCache("bookings", layout)
    return Bookings(engine, tables, Signal(), currency="GBP", zone="Europe/London")


def rollout_of(engine: AsyncEngine, layout: Layout = DEFAULT_LAYOUT, flags: Path = SHIPPED) -> Rollout:
    """Return the use cases behind the flags of a file."""
    bookings = bookings_of(engine, layout)
    return Rollout(Flags(flags), bookings, Shadow(bookings, ZoneInfo("Europe/London")))


def client_of(
    engine: AsyncEngine,
    layout: Layout = DEFAULT_LAYOUT,
    *,
    flags: Path = SHIPPED,
    base_url: str = "http://gateway/api/admin",
) -> httpx.AsyncClient:
    """Return an administrator's client of the legacy API."""
    app = FastAPI()
    app.include_router(create_router(rollout_of(engine, layout, flags)))
    app.dependency_overrides[current_actor] = lambda: SOMEBODY
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)
