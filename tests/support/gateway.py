"""The gateway's whole application without broker and server, and browsers at it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.main import application, compose
from bookings_gateway.settings import Settings
from support.staff import PASSWORD

ORIGIN = "http://gateway"
NEW = {"contactDetails": {"firstName": "Ann"}, "finalAmount": "67.50"}


def settings(url: str = "postgresql://unused", **others: object) -> Settings:
    """Return settings for a database; nothing listens, no broker is asked, and whoever asks is looked up each time."""
    own = {"database_url": url, "amqp_url": "amqp://unused", "access_cache_seconds": 0}
    return Settings.model_validate({**own, **others})


@dataclass(frozen=True)
class Gateway:
    """The application on one database."""

    app: FastAPI
    engine: AsyncEngine

    def client(self, address: str = "192.0.2.1", **others: Any) -> httpx.AsyncClient:
        """Return somebody at ``address``, with cookies of their own."""
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url=f"{ORIGIN}/api/admin", **others)


@asynccontextmanager
async def gateway(url: str, **others: object) -> AsyncIterator[Gateway]:
    """Compose the application; its workers do not run."""
    chosen = settings(url, **others)
    service, rollout, door = compose(chosen)
    try:
        yield Gateway(application(chosen, service, rollout, door), service.engine)
    finally:
        await service.engine.dispose()


async def log_in(client: httpx.AsyncClient, email: str = "ann@office.example", password: str = PASSWORD) -> None:
    """Log in, and send the CSRF token from now on as the frontend does."""
    answer = await client.post("/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    client.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
