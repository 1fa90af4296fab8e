"""Settings of the bookings gateway."""

from pathlib import Path
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from bookings_gateway.domain import Layout
from bookings_gateway.layouts import read_layout
from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from ``BOOKINGS_GATEWAY_…``. ``database_url`` is the legacy application's own database."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(env_prefix="BOOKINGS_GATEWAY_")

    port: int = 8000
    legacy_table: Annotated[
        str, Field(description="The legacy table, with its schema if that is not public", min_length=1)
    ] = "bookings"
    legacy_layout: Annotated[
        str,
        Field(
            description="Its columns: default, lower_case, snake_case, flat_contact, or a .toml or .json file's path"
        ),
    ] = "default"
    flags_file: Annotated[
        Path | None, Field(description="Who gets the new answers, as flagd's flags; without one, everybody")
    ] = None
    currency: Annotated[
        str, Field(description="The business's own currency, of every finalAmount", pattern="^[A-Z]{3}$")
    ] = "GBP"
    legacy_timezone: Annotated[
        str, Field(description="Zone the legacy server ran in: of its times without a zone, and of its dates")
    ] = "Europe/London"

    report_key: Annotated[
        SecretStr | None, Field(description="Key that reports of the history import are signed with", min_length=16)
    ] = None
    users_url: Annotated[str, Field(description="Where the users service answers")] = "http://127.0.0.1:8002"
    payments_url: Annotated[str, Field(description="Where the payments service answers")] = "http://127.0.0.1:8001"
    stats_url: Annotated[str, Field(description="Where the stats service answers")] = "http://127.0.0.1:8003"

    admin_origins: Annotated[
        str, Field(description="Origins of the admin frontend's pages, comma separated; nothing: the gateway's own")
    ] = ""
    session_idle_minutes: Annotated[
        int, Field(description="A session ends after so many minutes without a request", ge=2)
    ] = 120
    session_hours: Annotated[int, Field(description="A session ends after so many hours in any case", ge=1)] = 12
    access_cache_seconds: Annotated[
        float,
        Field(
            description="Who was let in is looked up again after so many seconds; a revocation takes as long",
            ge=0,
            le=2,
        ),
    ] = 1.0

    @field_validator("legacy_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"{name!r} is no time zone: use a name such as Europe/London")
        return name

    @field_validator("legacy_layout")
    @classmethod
    def _readable_layout(cls, declared: str) -> str:
        read_layout(declared)
        return declared

    @property
    def layout(self) -> Layout:
        return read_layout(self.legacy_layout)

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(
            origin.strip().rstrip("/").lower() for origin in self.admin_origins.split(",") if origin.strip()
        )

    @property
    def secure_cookies(self) -> bool:
        """Cookies travel by HTTPS alone, but for pages on plain HTTP: those named so, or a gateway on loopback."""
        if self.origins:
            return all(origin.startswith("https://") for origin in self.origins)
        return self.host not in {"127.0.0.1", "::1", "localhost"}

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.legacy_timezone)
