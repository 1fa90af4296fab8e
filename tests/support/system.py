"""The whole system as an operator runs it: four service processes on real PostgreSQL and RabbitMQ."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil

from local_stack.ports import free_port
from local_stack.processes import tail
from support.bearer import TOKEN
from support.broker import sweep
from support.databases import Databases
from support.staff import bearer_at
from support.stripe_payloads import SECRET, Json, sign
from support.waiting import eventually

SERVICES = ("bookings-gateway", "payments", "users", "stats")


def variable(service: str, name: str) -> str:
    """Return the environment variable of a service's setting."""
    return f"{service.replace('-', '_').upper()}_{name}"


@dataclass
class ServiceProcess:
    """One service, started and ended by pid."""

    name: str
    port: int
    environment: Mapping[str, str]
    log: Path
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pids(self) -> list[int]:
        """The service's processes: its own and the one of its bulk lane."""
        return [self.pid, *(child.pid for child in psutil.Process(self.pid).children())]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = Path(sys.executable).parent / self.name
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(program), "serve"], env={**os.environ, **self.environment}, stdout=log, stderr=log
            )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ServiceProcess"]:
        """Start it, wait until it is ready, and end it afterwards."""
        self.start()
        try:
            await self.wait_ready()
            yield self
        finally:
            self.end()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; SIGKILL and SIGTERM wait until the process is gone."""
        assert self._process is not None
        self._process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self._process.wait(20)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)

    async def readiness(self) -> tuple[int, Any]:
        """Return status and report of ``/health/ready``; 0 when nobody answers."""
        try:
            async with httpx.AsyncClient(timeout=6, verify=False) as client:  # noqa: S501 - no TLS here; its context takes long
                response = await client.get(f"{self.url}/health/ready")
        except httpx.TransportError as error:
            return 0, repr(error)
        return response.status_code, response.json()

    async def wait_ready(self, *, seconds: float = 60) -> None:
        async def ready() -> bool:
            return (await self.readiness())[0] == 200

        try:
            await eventually(ready, seconds=seconds, what=f"{self.name} ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self.readiness()}\n{tail(self.log)}") from None


@dataclass
class System:
    """All four services and their databases. ``staff`` are headers that open the gateway."""

    amqp_url: str
    database_urls: Mapping[str, str]
    staff: Mapping[str, str]
    services: dict[str, ServiceProcess] = field(default_factory=dict)

    @property
    def gateway(self) -> ServiceProcess:
        return self.services["bookings-gateway"]

    @property
    def payments(self) -> ServiceProcess:
        return self.services["payments"]

    async def query(self, service: str, sql: str, *values: object) -> list[asyncpg.Record]:
        """Run one statement in a service's database."""
        connection = await asyncpg.connect(self.database_urls[service])
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *values)
            return rows
        finally:
            await connection.close()

    async def query_script(self, service: str, script: str) -> None:
        """Run several statements in a service's database."""
        connection = await asyncpg.connect(self.database_urls[service])
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    async def wait_ready(self) -> None:
        await asyncio.gather(*(service.wait_ready() for service in self.services.values()))

    async def send_webhook(self, client: httpx.AsyncClient, payload: Json) -> None:
        """Deliver a signed event as Stripe does: again and again until it is taken."""

        async def taken() -> bool:
            signed = sign(payload)
            try:
                response = await client.post(
                    f"{self.payments.url}/api/webhooks/stripe", content=signed.body, headers=signed.headers
                )
            except httpx.TransportError:
                return False
            return response.is_success

        await eventually(taken, seconds=60, what=f"webhook {payload['id']} taken")


@asynccontextmanager
async def system(
    databases: Databases, amqp_url: str, logs: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[System]:
    """Start the system on fresh databases and a swept broker; end it afterwards.

    ``settings`` are further environment variables for all services.
    """
    await sweep(amqp_url)
    urls = {name: await databases.create(name.replace("-", "_")) for name in SERVICES}
    whole = System(amqp_url, urls, await bearer_at(urls["bookings-gateway"]))
    ports = {name: free_port() for name in SERVICES}
    others = {variable("bookings-gateway", f"{name.upper()}_URL"): f"http://127.0.0.1:{ports[name]}" for name in ports}
    for name, port in ports.items():
        environment = {
            "AMQP_URL": amqp_url,
            variable(name, "DATABASE_URL"): urls[name],
            variable(name, "PORT"): str(port),
            **others,
            "PAYMENTS_STRIPE_WEBHOOK_SECRETS": SECRET,
            "INTERNAL_TOKEN": TOKEN,
            **(settings or {}),
        }
        whole.services[name] = ServiceProcess(name, port, environment, logs / f"{name}.log")
        whole.services[name].start()
    try:
        await whole.wait_ready()
        yield whole
    finally:
        for service in whole.services.values():
            service.end()
