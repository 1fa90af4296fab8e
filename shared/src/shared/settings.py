"""Settings every service has, read from the environment with the service's prefix."""

from datetime import timedelta
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Read once, by ``main`` and ``cli``. A service's subclass sets ``env_prefix`` and its default port."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: Annotated[SecretStr, Field(description="postgresql://user:password@host:port/database")]
    amqp_url: Annotated[
        SecretStr,
        Field(
            validation_alias=AliasChoices("AMQP_URL", "amqp_url"),
            description="amqp://user:password@host:port/vhost, the same for all services",
        ),
    ]
    host: Annotated[str, Field(description="Address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(description="Port to listen on", ge=1, le=65535)] = 8000
    trusted_proxies: Annotated[
        str, Field(description="Addresses or networks of proxies whose X-Forwarded-For is believed, comma separated")
    ] = "127.0.0.1"
    database_pool: Annotated[int, Field(description="Database connections per process", ge=4)] = 12
    log_format: Annotated[str, Field(description="json or console", pattern="^(json|console)$")] = "json"
    log_level: Annotated[str, Field(description="debug, info, warning or error")] = "info"
    retry_delays: Annotated[
        str, Field(description="Seconds before each new attempt at a failed event, comma separated")
    ] = "1,10,60,300,900"
    internal_token: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices("INTERNAL_TOKEN", "internal_token"),
            description="Bearer token of calls between services, the same for all; internal APIs refuse without",
            min_length=16,
        ),
    ] = None
    inbox_retention_days: Annotated[int, Field(description="How long ids of applied events are kept", ge=1)] = 90

    @property
    def broker_url(self) -> str:
        """The broker's URL with a heartbeat of seconds: a silent broker is noticed within half a minute."""
        url = self.amqp_url.get_secret_value()
        return url if "heartbeat=" in url else f"{url}{'&' if '?' in url else '?'}heartbeat=10"

    @property
    def retry_tiers(self) -> tuple[timedelta, ...]:
        return tuple(timedelta(seconds=float(delay)) for delay in self.retry_delays.split(","))
