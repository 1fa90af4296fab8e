"""The old server as a process: installed once by npm, started and ended by pid."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from local_stack.ports import free_port
from support.waiting import eventually

HOME = Path(__file__).parent / "legacy_server"


@dataclass(frozen=True)
class Express:
    """The old server, running."""

    url: str
    pid: int


@asynccontextmanager
async def express(database_url: str, *, columns: str = "id,createdAt,updatedAt") -> AsyncIterator[Express]:
    """Run the old server, in London, while the block runs; ``columns`` are id, time of creation and of change."""
    await asyncio.to_thread(_install)
    port = free_port()
    settings = {
        "DATABASE_URL": database_url,
        "PORT": str(port),
        "TZ": "Europe/London",
        "COLUMNS": columns,
        "NODE_ENV": "production",
    }
    process = _start(settings)
    server = Express(f"http://127.0.0.1:{port}", process.pid)
    try:
        await eventually(lambda: _answers(server.url), what="the old server")
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _start(settings: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["node", "server.js"], cwd=HOME, env={**os.environ, **settings})


def _install() -> None:
    """Install what the lock names, unless it is there. Needs npm."""
    if not (HOME / "node_modules" / "express").exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=HOME, check=True)


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{url}/api/admin/bookings", params={"limit": 1})).is_success
    except httpx.TransportError:
        return False
