"""Settings of the bookings gateway."""

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
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.legacy_timezone)
