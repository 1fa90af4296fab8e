"""The settings that the local stack hands to the services."""

import os
from collections.abc import Mapping
from pathlib import Path

from local_stack.files import kept_secrets
from local_stack.localstripe import PORT_SETTING as STRIPE_PORT_SETTING
from local_stack.ports import LOOPBACK
from local_stack.postgres import PORT_SETTING as POSTGRES_PORT_SETTING
from local_stack.postgres import LocalPostgres
from local_stack.rabbitmq import PORT_SETTING as RABBIT_PORT_SETTING
from local_stack.rabbitmq import LocalRabbit
from local_stack.services import GATEWAY, SERVICES

AMQP_SETTING = "AMQP_URL"
INTERNAL_SETTING = "INTERNAL_TOKEN"
REPORT_SETTING = "BOOKINGS_GATEWAY_REPORT_KEY"
STRIPE_BASE_SETTING = "PAYMENTS_STRIPE_API_BASE"
STRIPE_KEY_SETTING = "PAYMENTS_STRIPE_API_KEY"
WEBHOOK_SECRETS_SETTING = "PAYMENTS_STRIPE_WEBHOOK_SECRETS"
_DEFAULT_PORTS = {POSTGRES_PORT_SETTING: 25432, RABBIT_PORT_SETTING: 26672, STRIPE_PORT_SETTING: 8420}


def server_port(setting: str, environment: Mapping[str, str] = os.environ) -> int:
    """The port of PostgreSQL, RabbitMQ or localstripe, by the name of its setting."""
    return int(environment.get(setting) or _DEFAULT_PORTS[setting])


def needs_postgres(environment: Mapping[str, str]) -> bool:
    """Whether any service has no database of the user's own."""
    return not all(environment.get(service.database_setting) for service in SERVICES)


def needs_rabbitmq(environment: Mapping[str, str]) -> bool:
    """Whether there is no broker of the user's own."""
    return not environment.get(AMQP_SETTING)


def without_own_servers(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's environment without URLs of our own servers, which `local-stack env` may have put there."""
    ports = (server_port(setting, environment) for setting in (POSTGRES_PORT_SETTING, RABBIT_PORT_SETTING))
    ours = tuple(f"@{LOOPBACK}:{port}/" for port in ports)
    urls = (AMQP_SETTING, *(service.database_setting for service in SERVICES))
    own = {name for name in urls if any(address in environment.get(name, "") for address in ours)}
    return {name: value for name, value in environment.items() if name not in own}


def service_settings(
    environment: Mapping[str, str], *, postgres: LocalPostgres, rabbit: LocalRabbit, secrets_file: Path
) -> dict[str, str]:
    """Every setting the services need here. What the user has set in `environment` is kept as it is.

    The servers must have been started once, since their passwords are made then.
    """
    ours = (
        _addresses() | _neighbours(environment) | _databases(environment, postgres) | _stripe(environment, secrets_file)
    )
    if needs_rabbitmq(environment):
        ours[AMQP_SETTING] = rabbit.url
    given = {name: environment[name] for name in (*ours, AMQP_SETTING, STRIPE_KEY_SETTING) if environment.get(name)}
    return ours | given


def _addresses() -> dict[str, str]:
    hosts = {f"{service.prefix}_HOST": LOOPBACK for service in SERVICES}
    return hosts | {service.port_setting: str(service.default_port) for service in SERVICES}


def _neighbours(environment: Mapping[str, str]) -> dict[str, str]:
    """Where the gateway finds the other services."""
    others = (service for service in SERVICES if service is not GATEWAY)
    return {f"{GATEWAY.prefix}_{service.prefix}_URL": service.url(environment) for service in others}


def _databases(environment: Mapping[str, str], postgres: LocalPostgres) -> dict[str, str]:
    given = {s.database_setting: environment.get(s.database_setting, "") for s in SERVICES}
    return {s.database_setting: given[s.database_setting] or postgres.url(s.database) for s in SERVICES}


def _stripe(environment: Mapping[str, str], secrets_file: Path) -> dict[str, str]:
    kept = kept_secrets(secrets_file, ["stripe_webhook_secret", "stripe_api_key", "internal_token", "report_key"])
    settings = {
        WEBHOOK_SECRETS_SETTING: f"whsec_{kept['stripe_webhook_secret']}",
        INTERNAL_SETTING: kept["internal_token"],
        REPORT_SETTING: kept["report_key"],
    }
    key = f"sk_test_{kept['stripe_api_key']}"
    if environment.get(STRIPE_KEY_SETTING, key) != key:
        return settings  # a key of the user's own belongs to the real Stripe, or to the base set beside it
    base = f"http://{LOOPBACK}:{server_port(STRIPE_PORT_SETTING, environment)}"
    return settings | {
        STRIPE_KEY_SETTING: key,
        STRIPE_BASE_SETTING: base,
        "PAYMENTS_RECONCILE_EVERY_MINUTES": "0",  # localstripe lists the oldest first, and knows no disputes
    }
