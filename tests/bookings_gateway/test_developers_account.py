"""The developer's account at the gateway of a local stack."""

import json
import stat
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from bookings_gateway.access.passwords import verify_password
from local_stack.services import COMMANDS
from local_stack.staff import EMAIL, Staff
from support.databases import Databases


@pytest.fixture
async def environment(gateway_databases: Databases) -> Mapping[str, str]:
    url = await gateway_databases.create("bookings_gateway")
    return {"BOOKINGS_GATEWAY_DATABASE_URL": url, "AMQP_URL": "amqp://unused"}


@pytest.fixture
def staff(tmp_path: Path) -> Staff:
    return Staff(tmp_path)


async def stored(environment: Mapping[str, str]) -> str:
    connection = await asyncpg.connect(environment["BOOKINGS_GATEWAY_DATABASE_URL"])
    try:
        return str(await connection.fetchval("SELECT password_hash FROM gateway.staff WHERE email = $1", EMAIL))
    finally:
        await connection.close()


async def test_the_account_is_made_once_and_its_password_is_known(staff: Staff, environment: Mapping[str, str]) -> None:
    assert staff.how_to_get_in("http://gateway") == ""
    staff.admit(environment, commands=COMMANDS)
    made = await stored(environment)
    staff.admit(environment, commands=COMMANDS)

    assert await stored(environment) == made
    assert await verify_password(json.loads(staff.login.read_text())["password"], made)
    assert stat.S_IMODE(staff.login.stat().st_mode) == 0o600
    assert "curl -sb" in staff.how_to_get_in("http://gateway")


async def test_an_account_whose_password_was_lost_here_gets_another(
    staff: Staff, environment: Mapping[str, str], tmp_path: Path
) -> None:
    staff.admit(environment, commands=COMMANDS)
    other = Staff(tmp_path / "anew")
    other.directory.mkdir()
    other.admit(environment, commands=COMMANDS)

    assert await verify_password(json.loads(other.login.read_text())["password"], await stored(environment))


async def test_a_database_without_the_gateway_is_left_alone(staff: Staff, gateway_databases: Databases) -> None:
    staff.admit({"BOOKINGS_GATEWAY_DATABASE_URL": await gateway_databases.create()}, commands=COMMANDS)

    assert not staff.login.exists()
