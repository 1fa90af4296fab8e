"""`.env.example` against the settings themselves: all of them, no others, with their meaning and default."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bookings_gateway.settings import Settings as GatewaySettings
from local_stack.localstripe import PORT_SETTING as STRIPE_PORT
from local_stack.postgres import PORT_SETTING as POSTGRES_PORT
from local_stack.rabbitmq import PORT_SETTING as RABBIT_PORT
from local_stack.settings import server_port
from payments.settings import Settings as PaymentsSettings
from shared.settings import ServiceSettings
from stats.settings import Settings as StatsSettings
from users.settings import Settings as UsersSettings

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
SETTINGS: tuple[type[ServiceSettings], ...] = (GatewaySettings, PaymentsSettings, UsersSettings, StatsSettings)
LOCAL = (POSTGRES_PORT, RABBIT_PORT, STRIPE_PORT)
TRACING = "OTEL_EXPORTER_OTLP_ENDPOINT"


def _fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """Variable, name and description of every setting of every service."""
    for settings in SETTINGS:
        for name, field in settings.model_fields.items():
            prefix = "" if name in {"amqp_url", "internal_token"} else settings.model_config["env_prefix"]
            yield f"{prefix}{name}".upper(), name, field


def _shown(field: FieldInfo) -> str:
    """A default as the environment has it."""
    default = field.get_default()
    if field.is_required() or default is None:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    return str(default).lower() if isinstance(default, bool) else str(default)


def _defaults() -> Mapping[str, str]:
    own = {variable: _shown(field) for variable, _, field in _fields()}
    return {**own, **{name: str(server_port(name, {})) for name in LOCAL}, TRACING: ""}


def _meaning(name: str, field: FieldInfo) -> str:
    """A service that only has another default says nothing of it again."""
    common = ServiceSettings.model_fields.get(name)
    return field.description or (common.description if common else None) or ""


@pytest.fixture(scope="module")
def example() -> Mapping[str, tuple[str, str]]:
    """Value and the comment above, by variable."""
    found = {}
    for block in EXAMPLE.read_text().split("\n\n"):
        comment = " ".join(line.removeprefix("# ") for line in block.splitlines() if line.startswith("#"))
        for name, value in re.findall(r"^([A-Z_]+)=(.*)$", block, re.MULTILINE):
            found[name] = (value, comment)
    return found


def test_every_setting_is_listed_and_nothing_else(example: Mapping[str, tuple[str, str]]) -> None:
    assert sorted(example) == sorted(_defaults())


def test_the_listed_values_are_the_defaults(example: Mapping[str, tuple[str, str]]) -> None:
    assert {name: value for name, (value, _) in example.items()} == _defaults()


def test_every_setting_is_listed_with_its_meaning(example: Mapping[str, tuple[str, str]]) -> None:
    meanings = {variable: _meaning(name, field) for variable, name, field in _fields()}
    assert [name for name, meaning in meanings.items() if not meaning or meaning not in example[name][1]] == []


def test_no_line_is_anything_but_a_setting_or_a_comment() -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Z_]+=[\w.,/:-]*", line)] == []
