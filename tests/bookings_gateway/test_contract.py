"""Every endpoint keeps its OpenAPI, whatever is thrown at it: no 500, no status or body nobody documented."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bookings_gateway.rollout.flags import SHIPPED
from local_stack.ports import free_port
from support.bearer import TOKEN
from support.databases import Databases
from support.schemathesis import assert_keeps_its_contract
from support.staff import bearer_at
from support.system import ServiceProcess


@pytest.fixture
async def service(
    gateway_databases: Databases, amqp_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[ServiceProcess, str]]:
    """The service as a process of its own, and the header that opens it. A parameter says how a flag is set."""
    flags = json.loads(SHIPPED.read_text())
    for name, variant in getattr(request, "param", {}).items():
        flags["flags"][name]["defaultVariant"] = variant
    (tmp_path / "flags.json").write_text(json.dumps(flags))
    url = await gateway_databases.create("bookings_gateway")
    environment = {
        "AMQP_URL": amqp_url,
        "BOOKINGS_GATEWAY_DATABASE_URL": url,
        "BOOKINGS_GATEWAY_FLAGS_FILE": str(tmp_path / "flags.json"),
        "BOOKINGS_GATEWAY_PORT": str(port := free_port()),
        "INTERNAL_TOKEN": TOKEN,
    }
    process = ServiceProcess("bookings-gateway", port, environment, tmp_path / "gateway.log")
    process.start()
    try:
        await process.wait_ready()
        yield process, (await bearer_at(url))["Authorization"]
    finally:
        process.end()


@pytest.mark.timeout(1200)
async def test_no_request_finds_a_500_or_an_undocumented_answer(
    service: tuple[ServiceProcess, str], tmp_path: Path
) -> None:
    process, authorization = service
    elsewhere = (
        "--exclude-tag",
        "users",
        "--exclude-tag",
        "payments",
        "--exclude-tag",
        "search",
    )  # test_admin_contract.py
    await assert_keeps_its_contract(process.url, tmp_path, *elsewhere, authorization=authorization)
    assert (await process.readiness())[0] == 200


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("service", [{"new-endpoints": "off"}], indirect=True, ids=["switched off"])
async def test_what_is_switched_off_answers_as_is_documented(
    service: tuple[ServiceProcess, str], tmp_path: Path
) -> None:
    process, authorization = service
    new = [option for tag in ("users", "payments", "search") for option in ("--include-tag", tag)]
    await assert_keeps_its_contract(process.url, tmp_path, *new, authorization=authorization)
