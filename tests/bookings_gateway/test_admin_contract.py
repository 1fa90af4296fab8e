"""Every new endpoint keeps its OpenAPI, whatever is thrown at it: no 500, no status or body nobody documented."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from local_stack.ports import free_port
from support.admin import Admin, admin_app, person, totals, user_id
from support.events import booking, linked, payment
from support.fake_services import FakeServices
from support.schemathesis import assert_keeps_its_contract


@pytest.fixture
async def address(gateway_engine: AsyncEngine, admin: Admin) -> AsyncIterator[str]:
    """The admin API on a port, with a user, a booking and a payment."""
    await admin.heard(person("Ann Lee"), totals("Ann Lee"), booking("b1"), linked("b1", user_id("Ann Lee")))
    await admin.heard(payment("00000000-0000-4000-8000-0000000000f1", "b1"))
    port = free_port()
    app = admin_app(gateway_engine, FakeServices())
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.mark.timeout(1200)
async def test_no_request_finds_a_500_or_an_undocumented_answer(address: str, tmp_path: Path) -> None:
    await assert_keeps_its_contract(address, tmp_path)


def test_every_operation_says_what_it_does_and_what_it_takes(gateway_app: FastAPI) -> None:
    operations = [
        (path, method, operation)
        for path, methods in gateway_app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]

    assert len(operations) == 24
    for path, method, operation in operations:
        assert operation["description"], (path, method)
        assert {"401", "403", "422", "503"} <= set(operation["responses"]), (path, method)
        if body := operation.get("requestBody"):
            reference = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            schema: dict[str, Any] = gateway_app.openapi()["components"]["schemas"][reference]
            assert schema["examples"], (path, method)


@pytest.fixture
def gateway_app(gateway_engine: AsyncEngine) -> FastAPI:
    return admin_app(gateway_engine, FakeServices())
