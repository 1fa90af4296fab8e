"""`up` and `down` as a person meets them, with stand-ins for the services."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.sql import fetch_value
from local_stack.errors import AlreadyStarting, PartFailed, PortBusy
from local_stack.health import read_health
from local_stack.ports import free_port
from local_stack.processes import ProcessRef, runs
from local_stack.services import GATEWAY, PAYMENTS, SERVICES, USERS
from local_stack.stack import Stack
from local_stack.waiting import wait_until

PORT_SETTINGS = ["LOCAL_POSTGRES_PORT", "LOCAL_AMQP_PORT", "LOCAL_STRIPE_PORT", *(s.port_setting for s in SERVICES)]


@pytest.fixture
def environment(directory: Path) -> dict[str, str]:
    """A user's environment with free ports, and a file in which the stand-ins note how they were called.

    It names a broker, which the stand-ins never ask: starting one would be most of a test's time.
    """
    ports = {setting: str(free_port()) for setting in PORT_SETTINGS}
    return {**os.environ, **ports, "STUB_CALLS": str(directory / "calls"), "AMQP_URL": "amqp://elsewhere/"}


@pytest.fixture
def stack(directory: Path, environment: dict[str, str], stub_commands: Path) -> Iterator[Stack]:
    """A stack that was not started yet."""
    stack = Stack(directory / "state", environment=environment, commands=stub_commands)
    yield stack
    stack.down()


def _processes(stack: Stack) -> list[psutil.Process]:
    return [psutil.Process(part.pid) for part in stack.status() if part.pid is not None]


async def test_up_prepares_the_databases_starts_everything_and_down_leaves_no_process(
    stack: Stack, directory: Path
) -> None:
    stack.user_environment.pop("AMQP_URL")
    assert stack.up()
    calls = (directory / "calls").read_text().splitlines()
    assert sorted(calls) == sorted(f"{s.name} {command}" for s in SERVICES for command in ("migrate", "serve"))
    settings = stack.settings()
    assert await fetch_value(settings["BOOKINGS_GATEWAY_DATABASE_URL"], "SELECT count(*) FROM bookings") == 0
    assert all(part.ready for part in stack.status())
    assert not stack.up(), "the second `up` finds it running"
    processes = _processes(stack)
    assert len(processes) == 2 + len(SERVICES)
    stack.down()
    assert not any(runs(process) for process in processes)
    assert not any(part.ready for part in stack.status())


def test_down_finds_services_whose_supervisor_was_killed_and_up_starts_them_again(stack: Stack) -> None:
    stack.up()
    orphans = [psutil.Process(pid) for pid in map(stack.services.service_pid, SERVICES) if pid]
    supervisor = stack.services.pid()
    assert supervisor is not None
    ProcessRef.of(supervisor).signal(signal.SIGKILL)
    (stack.directory / "services.pid.json").unlink()
    assert len(orphans) == len(SERVICES)
    assert stack.up(), "what a crash left over is replaced"
    assert not any(runs(orphan) for orphan in orphans)
    stack.down()
    assert not any(part.ready for part in stack.status())


def test_servers_of_the_user_are_used_instead_of_ours(
    directory: Path, environment: dict[str, str], stub_commands: Path, stack: Stack
) -> None:
    stack.postgres.start()
    given = {name: value for name, value in stack.settings().items() if name.endswith(("DATABASE_URL", "AMQP_URL"))}
    own_ports = {setting: str(free_port()) for setting in PORT_SETTINGS}
    other = Stack(directory / "other", environment={**environment, **own_ports, **given}, commands=stub_commands)
    try:
        assert other.up()
        assert other.settings().items() >= given.items()
        assert {part.name for part in other.status()} == {service.name for service in SERVICES}
        assert not other.postgres.running()
        assert not other.rabbit.running()
    finally:
        other.down()


def test_settings_printed_for_a_shell_do_not_pass_for_servers_of_the_user(stack: Stack) -> None:
    stack.user_environment.pop("AMQP_URL")
    stack.postgres.start()
    again = Stack(stack.directory, environment={**stack.user_environment, **stack.settings()})
    assert {part.name for part in again.status()} >= {"PostgreSQL", "RabbitMQ"}
    assert again.settings() == stack.settings()


def test_a_service_that_cannot_start_is_named_with_its_words_and_nothing_stays(
    stack: Stack,
) -> None:
    for command, expected in (("migrate", "`payments migrate` failed"), ("serve", "payments ended at once")):
        stack.user_environment["STUB_FAILS"] = f"payments {command}"
        with pytest.raises(PartFailed, match=expected) as caught:
            stack.up()
        assert "the stars are wrong" in str(caught.value)
        assert not any(part.pid for part in stack.status())


def test_a_busy_port_of_a_service_is_named_before_anything_starts(stack: Stack) -> None:
    port = USERS.port(stack.user_environment)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortBusy, match=f"{port} for users.*USERS_PORT="):
        stack.up()
    assert not stack.postgres.running()


def test_two_ups_at_once_are_one_up_and_a_sentence(stack: Stack) -> None:
    stack.directory.mkdir()
    with (stack.directory / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AlreadyStarting, match="Another `up` or `down` is at work"):
            stack.up()


def test_the_fake_stripe_listens_on_loopback_and_signs_for_our_payments(stack: Stack) -> None:
    stack.directory.mkdir()
    secret = "whsec_of_the_user"
    own = {"PAYMENTS_STRIPE_WEBHOOK_SECRETS": secret}
    databases = {service.database_setting: "postgresql://elsewhere/x" for service in SERVICES}
    mine = Stack(stack.directory, environment={**stack.user_environment, **own, **databases})
    stripe = mine.start_stripe()
    pid = stripe.pid()
    assert pid is not None
    process = psutil.Process(pid)
    addresses = [c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert addresses == ["127.0.0.1"]
    assert mine.settings()["PAYMENTS_STRIPE_API_BASE"] == stripe.api_base
    stripe.stop()
    assert not runs(process)


def test_secrets_are_private_and_stay_the_same(stack: Stack) -> None:
    stack.directory.mkdir()
    databases = {service.database_setting: "postgresql://elsewhere/x" for service in SERVICES}
    mine = Stack(stack.directory, environment={**databases, "AMQP_URL": "amqp://elsewhere/"})
    settings = mine.settings()
    assert settings["PAYMENTS_STRIPE_WEBHOOK_SECRETS"].startswith("whsec_")
    assert mine.settings() == settings
    assert (stack.directory / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_ctrl_c_in_the_foreground_stops_everything(
    directory: Path, environment: dict[str, str], stub_commands: Path
) -> None:
    program = Path(__file__).with_name("foreground.py")
    state = directory / "state"
    with (directory / "output").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, program, state, stub_commands], env=environment, stdout=output, stderr=output
        )
    watched = Stack(state, environment=environment, commands=stub_commands)
    try:
        assert wait_until(lambda: "The gateway is at" in (directory / "output").read_text(), seconds=90)
        running = _processes(watched)
        assert read_health(GATEWAY.port(environment)).ready
        assert read_health(PAYMENTS.port(environment)).ready
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0, (directory / "output").read_text()
        assert not any(runs(p) for p in running)
    finally:  # a failure leaves nothing to those who come after
        process.kill()
        process.wait()
        watched.down()
