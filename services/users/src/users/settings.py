"""Settings of the users service."""

from typing import ClassVar

from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from ``USERS_…``."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(env_prefix="USERS_")

    port: int = 8002
