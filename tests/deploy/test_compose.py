"""docker-compose.yml and the images, as far as they can be held to account without a container engine."""

import os
import re
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from ruamel.yaml import YAML

from bookings_gateway.settings import Settings as GatewaySettings
from deploy.sql import fetch_value
from local_stack.postgres import SERVICES as DATABASES
from local_stack.postgres import LocalPostgres, installation
from payments.settings import Settings as PaymentsSettings
from shared.settings import ServiceSettings
from stats.settings import Settings as StatsSettings
from users.settings import Settings as UsersSettings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / "deploy" / "compose.env.example"
DOCKERFILE = ROOT / "deploy" / "images" / "service.Dockerfile"
COMMANDS = Path(sys.executable).parent
SETTINGS: dict[str, type[ServiceSettings]] = {
    "users": UsersSettings,
    "payments": PaymentsSettings,
    "stats": StatsSettings,
    "bookings-gateway": GatewaySettings,
}
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(:[-?])?([^$}]*)")


@cache
def _services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = YAML(typ="safe").load(COMPOSE)["services"]
    return services


def _example() -> dict[str, str]:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, zipfile.ZipFile]:
    """The wheels the images are built from, by the folder each comes from."""
    target = tmp_path_factory.mktemp("wheels")
    folders = ["shared", *(f"services/{name}" for name in SETTINGS)]
    for folder in folders:
        command = [str(COMMANDS / "uv"), "build", "--quiet", "--wheel", "--out-dir", str(target / folder), folder]
        subprocess.run(command, cwd=ROOT, check=True)
    return {folder: zipfile.ZipFile(next((target / folder).glob("*.whl"))) for folder in folders}


def test_it_is_a_compose_file() -> None:
    command = [str(COMMANDS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_the_example_documents_exactly_the_variables_that_are_read() -> None:
    assert {found[0] for found in _VARIABLE.findall(COMPOSE.read_text())} == _example().keys()


def test_no_secret_has_a_default_and_a_missing_one_is_explained() -> None:
    found = _VARIABLE.findall(COMPOSE.read_text())
    secrets = [use for use in found if re.search("PASSWORD|SECRET", use[0])]
    assert secrets
    for name, operator, sentence in secrets:
        assert operator == ":?", f"{name} must not have a default"
        assert sentence.startswith(f"Set {name}")
        assert _example()[name] == ""


def test_everything_is_published_on_loopback_alone() -> None:
    published = [port for service in _services().values() for port in service.get("ports", [])]
    assert len(published) == 5
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_starts_after_its_migration_and_the_broker_and_is_not_root(name: str) -> None:
    service, migration = _services()[name], _services()[f"{name}-migrate"]
    assert service["depends_on"][f"{name}-migrate"]["condition"] == "service_completed_successfully"
    assert service["depends_on"]["rabbitmq"]["condition"] == "service_healthy"
    assert migration["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert (migration["command"], migration["restart"]) == (["migrate"], "no")
    assert migration["environment"] == service["environment"]
    assert "USER 10001" in DOCKERFILE.read_text()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_is_given_settings_it_has_and_listens_where_its_port_is_published(name: str) -> None:
    service, fields = _services()[name], SETTINGS[name].model_fields
    prefix = name.replace("-", "_").upper() + "_"
    for setting in service["environment"]:
        assert setting == "AMQP_URL" or setting.removeprefix(prefix).lower() in fields, setting
    port = service["environment"][f"{prefix}PORT"]
    assert service["build"]["args"] == {"SERVICE": name, "PORT": port}
    assert service["ports"][0].endswith(f":{port}")
    assert int(port) == fields["port"].default


@pytest.mark.parametrize("name", SETTINGS)
def test_the_command_of_an_image_is_in_the_wheel_it_is_built_from(
    wheels: dict[str, zipfile.ZipFile], name: str
) -> None:
    wheel = wheels[f"services/{_services()[name]['build']['args']['SERVICE']}"]
    entry_points = next(file for file in wheel.namelist() if file.endswith(".dist-info/entry_points.txt"))
    assert f"{name} = " in wheel.read(entry_points).decode()


def test_wheels_carry_every_file_of_their_packages(wheels: dict[str, zipfile.ZipFile]) -> None:
    """Above all migrations and SQL: a service installed from a wheel has no other place to find them."""
    for folder, wheel in wheels.items():
        source = ROOT / folder / "src"
        files = {
            str(path.relative_to(source))
            for path in source.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert files <= set(wheel.namelist())
        if folder.startswith("services/"):
            assert any("/migrations/versions/" in file for file in files), f"{folder} has no migrations"


def test_the_image_copies_what_the_checkout_has_and_the_ignore_file_lets_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    sources = {source for line in copies for source in line.split()}
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert any(source == entry or source.startswith(f"{entry}/") for entry in allowed), source


def _run_first_time_scripts(server: LocalPostgres, passwords: dict[str, str]) -> None:
    """As the database image does: in order, as superuser, with the container's environment."""
    environment = {
        **os.environ,
        **passwords,
        "PATH": f"{installation() / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGPASSWORD": server.admin_url().split(":")[2].split("@")[0],
        "POSTGRES_USER": "postgres",
        "LEGACY_TABLE_SQL": str(ROOT / "deploy" / "local" / "legacy_bookings.sql"),
    }
    for script in sorted((ROOT / "deploy" / "database").glob("*.sh")):
        assert os.access(script, os.X_OK), "the image would run it inside its own shell"
        subprocess.run([script], env=environment, check=True)


async def test_the_database_scripts_give_every_service_its_own_and_the_gateway_its_table(
    postgres: LocalPostgres,
) -> None:
    postgres.start()
    for database in DATABASES:
        postgres.drop_database(database)
    _run_first_time_scripts(postgres, {f"{name.upper()}_DATABASE_PASSWORD": f"of{name}" for name in DATABASES})
    address = f"127.0.0.1:{postgres.port}"
    for name in DATABASES:
        url = f"postgresql://{name}:of{name}@{address}/{name}"
        assert await fetch_value(url, "SELECT has_schema_privilege('public', 'CREATE')") is True
    gateway = f"postgresql://bookings_gateway:ofbookings_gateway@{address}/bookings_gateway"
    owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'bookings'"
    assert await fetch_value(gateway, owner) == "bookings_gateway"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch_value(f"postgresql://users:ofusers@{address}/payments", "SELECT 1")
