"""Settings of the stats service."""

from typing import ClassVar

from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from ``STATS_…``."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(env_prefix="STATS_")

    port: int = 8003
