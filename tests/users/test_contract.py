"""Every endpoint keeps its OpenAPI, whatever is thrown at it: no 500, no status or body nobody documented."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local_stack.ports import free_port
from support.bearer import TOKEN
from support.databases import Databases
from support.schemathesis import assert_keeps_its_contract
from support.system import ServiceProcess


@pytest.fixture
async def service(databases: Databases, amqp_url: str, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    """The service as a process of its own."""
    environment = {
        "AMQP_URL": amqp_url,
        "USERS_DATABASE_URL": await databases.create("users"),
        "USERS_PORT": str(port := free_port()),
        "INTERNAL_TOKEN": TOKEN,
    }
    async with ServiceProcess("users", port, environment, tmp_path / "users.log").running() as process:
        yield process


@pytest.mark.timeout(1200)
async def test_no_request_finds_a_500_or_an_undocumented_answer(service: ServiceProcess, tmp_path: Path) -> None:
    await assert_keeps_its_contract(service.url, tmp_path, authorization=f"Bearer {TOKEN}")
    assert (await service.readiness())[0] == 200
