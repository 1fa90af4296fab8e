"""The admin API without broker and login: its routes on a database, with the other services faked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Receive, Scope, Send

from bookings_gateway.access.actor import Actor, Role
from bookings_gateway.admin_door import AdminDoor
from bookings_gateway.handlers import ReadModelHandler
from bookings_gateway.main import add_admin
from bookings_gateway.rollout.flags import SHIPPED, Flags
from shared.events import Event
from shared.problems import answer_errors
from support.apply import apply
from support.events import EPOCH, event
from support.fake_services import FakeServices

ANN_OF_THE_OFFICE = Actor(UUID(int=1), "ann@office", Role.ADMIN)
_PEOPLE = UUID("5a1f9a7e-0000-4000-8000-00000000beef")


def user_id(name: str) -> str:
    """Return the id that stands for a name in a test."""
    return str(uuid5(_PEOPLE, name))


def person(name: str, sequence: int = 1, **fields: Any) -> Event:
    """Return a user named ``First Last``, registered at sequence 1 and updated later."""
    first, _, last = name.partition(" ")
    data = {
        "user_id": user_id(name),
        "email": f"{first}.{last}@example.com".lower(),
        "first_name": first,
        "last_name": last,
        "created_at": EPOCH.isoformat(),
        **fields,
    }
    kind = "registered" if sequence == 1 else "updated"
    return event(f"user.{kind}", str(data["user_id"]), sequence, data, source="/users")


def totals(name: str, sequence: int = 1, *, bookings: int = 1, spent: str = "67.50", **fields: Any) -> Event:
    """Return a user's totals."""
    sums = {"currency": "GBP", "total_spent": spent, "total_paid": spent, "total_refunded": "0.00"}
    data = {"user_id": user_id(name), "total_bookings": bookings, "currencies": [sums], **fields}
    return event("user_totals.changed", user_id(name), sequence, data, source="/stats")


def erased(name: str) -> Event:
    """Return that a person was erased."""
    data = {"user_id": user_id(name), "erased_at": EPOCH.isoformat()}
    return event("user.erased", user_id(name), 9, data, source="/users")


@dataclass
class Admin:
    """A client of the admin API, what the other services were asked, and the read model to fill."""

    engine: AsyncEngine
    services: FakeServices
    client: httpx.AsyncClient

    async def heard(self, *events: Event) -> None:
        """Take events in."""
        await take_in(self.engine, events)

    async def get(self, path: str, **query: Any) -> Any:
        """Return the body of a request that must succeed."""
        response = await self.client.get(f"/api/admin{path}", params=query)
        assert response.status_code == 200, response.text
        return response.json()

    async def names(self, **query: Any) -> list[str]:
        """Return the names of the users listed."""
        return [user["name"] for user in (await self.get("/users", **query))["data"]]


async def take_in(engine: AsyncEngine, events: Sequence[Event]) -> None:
    await apply(engine, ReadModelHandler("GBP"), events)


def admin_app(engine: AsyncEngine, services: FakeServices) -> FastAPI:
    """Return the admin API's routes alone; whoever asks is an administrator."""
    app = FastAPI()
    answer_errors(app)
    add_admin(app, Flags(SHIPPED), AdminDoor(engine=engine, remote=services.remote(), currency="GBP"))
    app.add_middleware(_LetIn)
    return app


class _LetIn:
    """Stands where the guard does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["actor"] = ANN_OF_THE_OFFICE
        await self._app(scope, receive, send)
