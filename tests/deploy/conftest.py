"""Servers of the local stack in directories whose paths have a space, removed after each test."""

import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.ports import free_port
from local_stack.postgres import LocalPostgres
from local_stack.rabbitmq import LocalRabbit
from local_stack.services import SERVICES


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a space in its path, which the account `nobody` can be let into (pytest's own is closed)."""
    with tempfile.TemporaryDirectory(prefix="local stack ", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture
def postgres(directory: Path) -> Iterator[LocalPostgres]:
    """A PostgreSQL server that was not started yet."""
    server = LocalPostgres(directory / "postgres", free_port(), fsync=False)
    yield server
    server.stop()


@pytest.fixture
def rabbit(directory: Path) -> Iterator[LocalRabbit]:
    """A RabbitMQ node that was not started yet."""
    node = LocalRabbit(directory / "rabbitmq", free_port())
    yield node
    node.stop()


@pytest.fixture
def stub_commands(directory: Path) -> Path:
    """Commands named like the services' that do nothing but answer."""
    commands = directory / "stub commands"
    commands.mkdir()
    stub = Path(__file__).with_name("stub_service.py")
    for service in SERVICES:
        script = commands / service.name
        script.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(stub), service.name])} "$@"\n')
        script.chmod(0o755)
    return commands
