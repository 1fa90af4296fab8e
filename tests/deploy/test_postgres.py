"""The local PostgreSQL comes back from everything and leaves nothing behind."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest

from deploy.sql import fetch_value
from local_stack.account import Account
from local_stack.errors import PortBusy
from local_stack.postgres import SERVICES, LocalPostgres
from local_stack.processes import ProcessRef, runs


async def test_every_service_has_a_database_that_no_other_service_can_enter(postgres: LocalPostgres) -> None:
    postgres.start()
    for service in SERVICES:
        assert await fetch_value(postgres.url(service), "SELECT current_user || current_database()") == service * 2
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch_value(postgres.url("users").removesuffix("users") + "payments", "SELECT 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await fetch_value(postgres.url("users").replace("users:", "payments:"), "SELECT 1")


async def test_what_was_committed_survives_stop_immediate_restart_and_kill(postgres: LocalPostgres) -> None:
    postgres.start()
    await fetch_value(postgres.url("users"), "CREATE TABLE kept AS SELECT 42 AS answer")
    for interruption in (postgres.stop, postgres.kill, lambda: postgres.restart(immediate=True)):
        interruption()
        postgres.start()
        assert await fetch_value(postgres.url("users"), "SELECT answer FROM kept") == 42


async def test_starts_over_the_pid_file_and_children_of_a_killed_main_process(postgres: LocalPostgres) -> None:
    postgres.start()
    children = [psutil.Process(pid) for pid in postgres.pids()[1:]]
    pid = postgres.pid()
    assert pid is not None
    ProcessRef.of(pid).signal(signal.SIGKILL)
    postgres.start()
    assert postgres.pid() != pid
    assert not any(runs(child) for child in children)
    assert await fetch_value(postgres.url("stats"), "SELECT 1") == 1


def test_starting_twice_is_starting_once_and_stopping_leaves_no_process(postgres: LocalPostgres) -> None:
    postgres.start()
    pids = postgres.pids()
    postgres.start()
    assert postgres.pid() == pids[0]
    postgres.stop()
    postgres.stop()
    assert postgres.pids() == []
    assert not any(runs(psutil.Process(pid)) for pid in pids if psutil.pid_exists(pid))


def test_a_busy_port_is_named_with_its_user_and_the_way_out(postgres: LocalPostgres) -> None:
    with socket.create_server(("127.0.0.1", postgres.port)), pytest.raises(PortBusy) as caught:
        postgres.start()
    for part in (str(postgres.port), "PostgreSQL", f"process {psutil.Process().pid}", "LOCAL_POSTGRES_PORT="):
        assert part in str(caught.value)


async def test_suspended_it_answers_nobody_and_resumed_it_goes_on(postgres: LocalPostgres) -> None:
    postgres.start()
    postgres.suspend()
    with pytest.raises(TimeoutError):
        await asyncpg.connect(postgres.url("users"), timeout=0.3)
    postgres.resume()
    assert await fetch_value(postgres.url("users"), "SELECT 1") == 1


async def test_tests_get_databases_of_their_own(postgres: LocalPostgres) -> None:
    postgres.start()
    url = postgres.create_database("a test's own")
    assert postgres.create_database("a test's own") == url
    assert await fetch_value(url, "SELECT current_user::text") == "a test's own"
    postgres.drop_database("a test's own")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await fetch_value(url, "SELECT 1")


def test_an_ordinary_user_can_run_both_servers(directory: Path) -> None:
    account = Account.for_servers_that_refuse_root()
    if account is not None:
        account.own(directory)
        LocalPostgres(directory, 1).open_installation()
    script = Path(__file__).with_name("as_ordinary_user.py")
    result = subprocess.run([sys.executable, script, directory], capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["PostgreSQL", "RabbitMQ"], result.stderr
