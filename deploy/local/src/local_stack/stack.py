"""The whole system as one thing: up, down, and what is the matter with it."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from local_stack.errors import PartFailed
from local_stack.health import Health, read_health
from local_stack.legacy import load_legacy_table
from local_stack.localstripe import PORT_SETTING as STRIPE_PORT_SETTING
from local_stack.localstripe import LocalStripe
from local_stack.locking import only_one
from local_stack.migrations import migrate_all
from local_stack.ports import require_free
from local_stack.postgres import PORT_SETTING as POSTGRES_PORT_SETTING
from local_stack.postgres import LocalPostgres
from local_stack.rabbitmq import PORT_SETTING as RABBIT_PORT_SETTING
from local_stack.rabbitmq import LocalRabbit
from local_stack.rabbitmq_install import ensure_rabbitmq
from local_stack.services import COMMANDS, GATEWAY, PAYMENTS, SERVICES, Service
from local_stack.settings import (
    WEBHOOK_SECRETS_SETTING,
    needs_postgres,
    needs_rabbitmq,
    server_port,
    service_settings,
    without_own_servers,
)
from local_stack.staff import Staff
from local_stack.supervisor import Supervisor
from local_stack.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[4]
_OWN = CHECKOUT / "deploy" / "local"
_READY_SECONDS = 60.0
_READY_POLL_SECONDS = 0.2
_OTHER_COMMAND_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """One line of `status`."""

    name: str
    pid: int | None
    port: int
    ready: bool
    remark: str = ""


class Stack:
    """PostgreSQL, RabbitMQ and the four services, with everything they keep in one `directory`.

    `environment` is the user's: ports, and servers of their own to be used instead of ours. `commands` is where the
    services' programs are. `say` is told every step.
    Two objects with one directory are one stack, also across processes.
    """

    def __init__(
        self,
        directory: Path = CHECKOUT / ".local",
        *,
        environment: Mapping[str, str] = os.environ,
        commands: Path = COMMANDS,
        say: Say = lambda _: None,
    ) -> None:
        self.directory = directory.resolve()
        self.user_environment = without_own_servers(environment)
        self.logs = self.directory / "logs"
        self.postgres = LocalPostgres(self.directory / "postgres", self._port(POSTGRES_PORT_SETTING))
        self.rabbit = LocalRabbit(self.directory / "rabbitmq", self._port(RABBIT_PORT_SETTING))
        self.stripe = LocalStripe(self.directory / "localstripe", self._port(STRIPE_PORT_SETTING))
        self.services = Supervisor(
            self.directory, procfile=_OWN / "Procfile", commands=commands, log=self.logs / "services.log"
        )
        self.staff = Staff(self.directory)
        self._commands = commands
        self._say = say

    def up(self) -> bool:
        """Start whatever does not run and wait until all of it is ready; False when it all was already.

        Raises a `StackError` that says what is wrong; then nothing is left running. An interrupt does the same.
        """
        with only_one(self._lock):
            if self.is_up():
                return False
            try:
                self._start()
            except BaseException:  # also Ctrl-C: half a stack is nobody's friend
                self._stop()
                raise
        return True

    def down(self) -> None:
        """Stop everything, also what a crash left behind. Nothing running is fine. Leaves no process."""
        with only_one(self._lock, wait_seconds=_OTHER_COMMAND_SECONDS):
            self._stop()

    def is_up(self) -> bool:
        """Whether the services run and are all ready."""
        return self.services.pid() is not None and all(self._health(s).ready for s in SERVICES)

    def url(self, service: Service) -> str:
        """Where `service` listens."""
        return service.url(self.user_environment)

    def how_to_get_in(self) -> str:
        """How to log in at the gateway; nothing while nobody can."""
        return self.staff.how_to_get_in(self.url(GATEWAY))

    def settings(self) -> dict[str, str]:
        """The services' settings: what to add to the environment to run one of their commands against this stack.

        The stack must have been up once.
        """
        secrets_file = self.directory / "secrets.json"
        return service_settings(
            self.user_environment, postgres=self.postgres, rabbit=self.rabbit, secrets_file=secrets_file
        )

    def start_stripe(self) -> LocalStripe:
        """Start the fake Stripe, sending its webhooks to our payments service with the right signature."""
        self.stripe.start()
        secret = self.settings()[WEBHOOK_SECRETS_SETTING].split(",")[0]
        self.stripe.register_webhook(f"{self.url(PAYMENTS)}/api/webhooks/stripe", secret=secret)
        return self.stripe

    def status(self) -> list[Part]:
        """Every part of the stack that is ours to run, with its pid, port and state."""
        return [*self._servers(), *(self._service_part(service) for service in SERVICES)]

    @property
    def _lock(self) -> Path:
        return self.directory / "lock"

    def _health(self, service: Service) -> Health:
        return read_health(service.port(self.user_environment))

    def _port(self, setting: str) -> int:
        return server_port(setting, self.user_environment)

    def _start(self) -> None:
        self.services.stop()
        for service in SERVICES:
            port = service.port(self.user_environment)
            require_free(port, wanted_by=service.name, setting=service.port_setting)
        environment = self._start_servers()
        self._start_services(environment)

    def _start_servers(self) -> dict[str, str]:
        """The broker takes longest, so the databases are prepared meanwhile; returns the services' environment."""
        if needs_rabbitmq(self.user_environment):
            self.rabbit.create_password()  # before two threads want it
        with ThreadPoolExecutor(max_workers=1) as thread:
            broker = thread.submit(self._start_rabbitmq)
            self._start_postgres()
            environment = {**self.user_environment, **self.settings()}
            self._prepare_databases(environment)
            broker.result()
        return environment

    def _start_postgres(self) -> None:
        if needs_postgres(self.user_environment):
            self.postgres.start()
            self._say(f"PostgreSQL on port {self.postgres.port}")
        else:
            self._say("PostgreSQL: yours, by the services' DATABASE_URLs")

    def _start_rabbitmq(self) -> None:
        if needs_rabbitmq(self.user_environment):
            ensure_rabbitmq()
            self.rabbit.start()
            self._say(f"RabbitMQ on port {self.rabbit.port}")
        else:
            self._say("RabbitMQ: yours, by AMQP_URL")

    def _prepare_databases(self, environment: Mapping[str, str]) -> None:
        try:
            if load_legacy_table(environment[GATEWAY.database_setting], _OWN / "legacy_bookings.sql"):
                self._say("sample of the legacy bookings table loaded")
        except (OSError, asyncpg.PostgresError) as error:
            raise PartFailed(f"The database of {GATEWAY.database_setting} cannot be used: {error}") from error
        migrate_all(SERVICES, environment, commands=self._commands)
        self.staff.admit(environment, commands=self._commands)
        self._say("databases up to date")

    def _start_services(self, environment: Mapping[str, str]) -> None:
        self.services.start(environment)
        waiting = list(SERVICES)
        wait_until(
            lambda: not self._still_waiting(waiting) or not self.services.pid(),
            seconds=_READY_SECONDS,
            every=_READY_POLL_SECONDS,  # the processors are busy with what is waited for
        )
        if waiting:
            raise PartFailed(self._failure(waiting))

    def _still_waiting(self, services: list[Service]) -> bool:
        for service in list(services):
            if self._health(service).ready:
                services.remove(service)
                self._say(f"{service.name} on port {service.port(self.user_environment)}")
        return bool(services)

    def _failure(self, waiting: list[Service]) -> str:
        ended = self.services.first_to_stop()
        service = next((s for s in SERVICES if s.name == ended), waiting[0])
        what = "ended at once" if ended else self._not_ready(service)
        return (
            f"The service {service.name} {what}. The end of its log (all of it: {self.services.log}):\n"
            f"{self.services.last_lines(service)}"
        )

    def _not_ready(self, service: Service) -> str:
        reason = self._health(service).reason or "it became so just now"
        return f"did not become ready within {_READY_SECONDS:.0f} s: {reason}"

    def _stop(self) -> None:
        self.services.stop()
        self.stripe.stop()
        with ThreadPoolExecutor(max_workers=2) as threads:
            for stop in [threads.submit(part.stop) for part in (self.postgres, self.rabbit)]:
                stop.result()

    def _servers(self) -> list[Part]:
        parts = []
        if needs_postgres(self.user_environment):
            server = self.postgres
            parts.append(Part("PostgreSQL", server.pid(), server.port, server.ready()))
        if needs_rabbitmq(self.user_environment):
            parts.append(Part("RabbitMQ", self.rabbit.pid(), self.rabbit.port, self.rabbit.ready()))
        if self.stripe.pid():
            parts.append(Part("localstripe", self.stripe.pid(), self.stripe.port, self.stripe.ready()))
        return parts

    def _service_part(self, service: Service) -> Part:
        health = self._health(service)
        pid = self.services.service_pid(service)
        return Part(service.name, pid, service.port(self.user_environment), health.ready, health.reason)
