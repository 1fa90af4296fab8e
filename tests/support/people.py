"""The users service without broker and server: bookings go in at its message door, requests at its HTTP door."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.events import Event
from shared.problems import answer_errors
from support.apply import apply
from support.bearer import BEARER, TOKEN
from users.api import Door, router
from users.handlers import BookingsHandler
from users.settings import Settings

MakeEngine = Callable[[str], Awaitable[AsyncEngine]]

_TABLES = (
    *("audit", "note", "communication", "duplicate_suggestion", "duplicate_dismissal", "erased_identity"),
    *("contact_variant", "booking_link", "users", "inbox", "event_log", "outbox", "dead_letter"),
)

# Every value of every column of every table, as text; bytes as hexadecimal digits.
_COLUMNS = text(
    """
    SELECT c.oid::regclass::text, a.attname FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'm', 'p') AND c.relnamespace = 'public'::regnamespace
    """
)


@dataclass
class People:
    """One users service."""

    engine: AsyncEngine

    @property
    def handler(self) -> BookingsHandler:
        return BookingsHandler("/users", phone_region="GB")

    @cached_property
    def app(self) -> FastAPI:
        values = {"database_url": "postgresql://unused", "amqp_url": "amqp://unused", "internal_token": TOKEN}
        settings = Settings.model_validate(values)
        app = FastAPI()
        app.include_router(router(Door(engine=self.engine, source="/users", settings=settings, committed=_nothing)))
        answer_errors(app)
        return app

    def client(self) -> httpx.AsyncClient:
        """Return the internal API, entered with the token."""
        url = "http://users/internal"
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=url, headers=BEARER)

    async def empty(self) -> None:
        """Remove everything; quicker than a fresh database, and than TRUNCATE of small tables."""
        async with self.engine.begin() as connection:
            for table in _TABLES:
                await connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608

    async def learn(self, *events: Event, group: int = 500) -> None:
        """Take bookings in."""
        await apply(self.engine, self.handler, events, group=group)

    async def rows(self, statement: str, **given: Any) -> Sequence[Any]:
        async with self.engine.connect() as connection:
            return (await connection.execute(text(statement), given)).all()

    async def id_of(self, email: str) -> UUID:
        ((id_,),) = await self.rows("SELECT id FROM users WHERE email = :email", email=email)
        assert isinstance(id_, UUID)
        return id_

    async def ask(self, path: str, code: int = 200, **query: Any) -> Any:
        """Return what GET answers."""
        async with self.client() as client:
            answer = await client.get(path, params=query)
        assert answer.status_code == code, answer.text
        return answer.json()

    async def post(self, path: str, code: int = 200, *, key: str | None = None, **body: Any) -> Any:
        """Return what POST answers."""
        async with self.client() as client:
            headers = {"Idempotency-Key": key or str(uuid4())}
            answer = await client.post(path, json=body, headers=headers)
        assert answer.status_code == code, answer.text
        return answer.json() if answer.content else None

    async def correct(self, user_id: UUID, code: int = 200, *, version: int | str | None, **body: Any) -> Any:
        """Return what PATCH answers."""
        async with self.client() as client:
            headers = {} if version is None else {"If-Match": str(version)}
            answer = await client.patch(f"/users/{user_id}", json=body, headers=headers)
        assert answer.status_code == code, answer.text
        return answer.json()

    async def merge(self, user_id: UUID, into: UUID, code: int = 200) -> Any:
        return await self.post(f"/users/{user_id}/merge", code, into=str(into), by="office", reason="same person")

    async def unmerge(self, user_id: UUID, code: int = 200) -> Any:
        return await self.post(f"/users/{user_id}/unmerge", code, by="office", reason="two people")

    async def erase(self, user_id: UUID, code: int = 200, *, confirm: str | None = None) -> Any:
        return await self.post(f"/users/{user_id}/erase", code, by="office", confirm=confirm or str(user_id))

    async def published(self, *types: str) -> list[dict[str, Any]]:
        """Return the bodies of the log's events, oldest first."""
        rows = await self.rows("SELECT body FROM event_log WHERE type = ANY(:types) ORDER BY seq", types=list(types))
        return [row.body for row in rows]

    async def places_of(self, *values: str) -> list[str]:
        """Return every table and column that has one of these in it, whatever the case."""
        found = []
        for table, column in await self.rows(str(_COLUMNS)):
            for value in values:
                shown = f"lower(concat_ws(' ', {column}::text, encode(convert_to({column}::text, 'UTF8'), 'hex')))"
                sought = [value.lower(), value.lower().encode().hex(), value.encode().hex()]
                statement = f"SELECT count(*) FROM {table} WHERE {shown} LIKE ANY(:sought)"  # noqa: S608
                ((count,),) = await self.rows(statement, sought=[f"%{each}%" for each in sought])
                found += [f"{table}.{column}: {value}"] * bool(count)
        return found


def _nothing() -> None:
    """There is no relay to wake."""
