"""Fresh databases in milliseconds: each service is migrated once into a template, tests get copies."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg

from local_stack.postgres import LocalPostgres


@dataclass
class Databases:
    """Creates databases on the test server. ``templates`` says how a named template is filled, given its URL."""

    postgres: LocalPostgres
    templates: Mapping[str, Callable[[str], None]]
    _ready: set[str] = field(default_factory=set)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def create(self, template: str | None = None, *, name: str | None = None) -> str:
        """Return the URL of a new database, a copy of ``template`` if one is named; one with a ``name`` is kept."""
        if template:
            async with self._making:
                await self._make(template)
        name = name or f"test_{uuid4().hex}"
        await self._execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "template_{template}"' if template else ""))
        return self.postgres.admin_url(name)

    async def exists(self, name: str) -> bool:
        connection = await asyncpg.connect(self.postgres.admin_url())
        try:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name))
        finally:
            await connection.close()

    async def sweep(self) -> None:
        """Drop what earlier runs left on this server: gigabytes, after benchmarks."""
        connection = await asyncpg.connect(self.postgres.admin_url())
        try:
            for row in await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'"):
                await connection.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')
        finally:
            await connection.close()

    async def _make(self, template: str) -> None:
        if template in self._ready:
            return
        name = f"template_{template}"
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await self._execute(f'CREATE DATABASE "{name}"')
        await asyncio.to_thread(self.templates[template], self.postgres.admin_url(name))
        self._ready.add(template)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.postgres.admin_url())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
