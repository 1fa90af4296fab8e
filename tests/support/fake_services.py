"""The other services' internal APIs as the gateway calls them: one ASGI application each, in this process."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI, Request, Response
from pydantic import SecretStr

from bookings_gateway.remote import Part, Remote
from shared.problems import answer_errors, problem
from shared.refusals import Refusal
from support.bearer import TOKEN
from support.events import EPOCH

URLS = {part: f"http://{part}" for part in Part}


@dataclass
class FakeServices:
    """What the services were asked, and what they have. A part in ``away`` refuses connections.

    When told to, all of them decline everything, or are not heard of in time.
    """

    away: set[Part] = field(default_factory=set)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    sequence: int = 1
    declines: bool = False
    times_out: bool = False

    def remote(self) -> Remote:
        """Return clients of these services."""
        apps: dict[Part, Callable[[], FastAPI]] = {
            Part.USERS: self._users,
            Part.PAYMENTS: self._payments,
            Part.STATS: self._stats,
        }
        transports = {f"all://{part}": _Transport(self, part, app()) for part, app in apps.items()}
        return Remote(URLS, SecretStr(TOKEN), transports)

    def _app(self) -> FastAPI:
        app = FastAPI()
        answer_errors(app)

        @app.middleware("http")
        async def note(request: Request, go_on: Callable[[Request], Any]) -> Response:
            body = await request.json() if await request.body() else None
            path = request.url.path.removeprefix("/internal")
            self.asked.append((request.method, path, body))
            self.headers.append(dict(request.headers))
            if self.times_out:
                raise httpx.ReadTimeout("no answer")
            if self.declines:
                return problem(409, "Not now.")
            if path in self.answers:
                status, told = self.answers[path]
                return problem(status, told) if isinstance(told, str) else Response(str(told), status)
            answer: Response = await go_on(request)
            return answer

        return app

    def _users(self) -> FastAPI:
        app = self._app()

        @app.get("/internal/users/{user_id}")
        async def user(user_id: str) -> dict[str, Any]:
            return self._user(user_id)

        @app.patch("/internal/users/{user_id}")
        async def correct(user_id: str, request: Request) -> dict[str, Any]:
            if request.headers["if-match"] != f'"{self.sequence}"':
                raise Stale("The user has changed.", sequence=self.sequence)
            self.sequence += 1
            return {**self._user(user_id), **await request.json()}

        self._add_records(app)
        self._add_decisions(app)
        return app

    def _add_records(self, app: FastAPI) -> None:
        @app.get("/internal/users/{user_id}/notes")
        async def notes(limit: int) -> dict[str, Any]:
            return {"items": self.notes[:limit], "next": None}

        @app.post("/internal/users/{user_id}/notes", status_code=201)
        async def add_note(user_id: str, request: Request) -> dict[str, Any]:
            note = {"id": str(uuid4()), "user_id": user_id, "created_at": EPOCH.isoformat(), **await request.json()}
            self.notes.insert(0, note)
            return note

        @app.get("/internal/users/{user_id}/communications")
        async def communications() -> dict[str, Any]:
            return {"items": [], "next": None}

        @app.post("/internal/users/{user_id}/communications", status_code=201)
        async def add_communication(user_id: str, request: Request) -> dict[str, Any]:
            return {"id": str(uuid4()), "user_id": user_id, "created_at": EPOCH.isoformat(), **await request.json()}

    def _add_decisions(self, app: FastAPI) -> None:
        @app.get("/internal/users/{user_id}/merge-preview")
        async def preview(user_id: str, into: str) -> dict[str, Any]:
            email = {"field": "email", "kept": "bob@example.com", "merged": "ann@example.com", "differs": True}
            return {"user_id": user_id, "into": into, "fields": [email], "moves": {"bookings": 2}}

        @app.post("/internal/users/{user_id}/{decision}")
        async def decide(user_id: str, decision: str) -> dict[str, Any]:
            return {"users": [user_id]} if decision == "erase" else self._user(user_id)

        @app.get("/internal/users/{user_id}/erase-preview")
        async def erase_preview(user_id: str) -> dict[str, Any]:
            return {"users": [user_id], "emails": ["ann@example.com"], "counts": {"notes": 1}}

        @app.post("/internal/duplicates/dismiss", status_code=204)
        async def dismiss() -> None: ...

        @app.get("/internal/duplicates")
        async def duplicates() -> dict[str, Any]:
            return {"items": [{"users": [], "reasons": ["same phone and surname"], "score": 90}], "next": None}

    def _user(self, user_id: str) -> dict[str, Any]:
        return {
            "user_id": user_id,
            "email": "ann@example.com",
            "first_name": "Ann",
            "last_name": "Lee",
            "phone": None,
            "company_name": None,
            "sequence": self.sequence,
            "merged_into": None,
            "emails": ["ann@example.com"],
            "variants": [],
        }

    def _payments(self) -> FastAPI:
        app = self._app()

        @app.get("/internal/payments/{payment_id}")
        async def payment(payment_id: str) -> dict[str, Any]:
            return _detail(payment_id)

        @app.post("/internal/payments/manual", status_code=201)
        async def manual() -> dict[str, Any]:
            return _detail(str(uuid4()))

        @app.post("/internal/payments/{payment_id}/refunds", status_code=201)
        async def refund(payment_id: str, request: Request) -> dict[str, Any]:
            body = await request.json()
            made = {"id": str(uuid4()), "payment_id": payment_id, "state": "accepted", "currency": "GBP"}
            return {**made, **body, "requested_at": EPOCH.isoformat(), "stripe_refund_id": "re_1"}

        return app

    def _stats(self) -> FastAPI:
        app = self._app()

        @app.get("/internal/users/{user_id}/activity")
        async def activity(user_id: str) -> dict[str, Any]:
            line = {"event_id": str(uuid4()), "user_id": user_id, "kind": "booking.created", "time": EPOCH.isoformat()}
            return {
                "items": [{**line, "booking_id": "b1", "payment_id": None, "amount": "67.50", "currency": "GBP"}],
                "next": "a-cursor",
            }

        return app


class Stale(Refusal):
    """Somebody else was quicker."""

    status = 412


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, services: FakeServices, part: Part, app: FastAPI) -> None:
        self._services, self._part, self._inner = services, part, httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._part in self._services.away:
            raise httpx.ConnectError("nobody listens", request=request)
        return await self._inner.handle_async_request(request)


def _detail(payment_id: str) -> dict[str, Any]:
    recorded = {"time": EPOCH.isoformat(), "kind": "recorded", "facts": {"recorded_by": "ann"}}
    return {"payment": {"id": payment_id}, "timeline": [recorded]}
