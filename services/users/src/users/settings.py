"""Settings of the users service."""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from ``USERS_…``."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(env_prefix="USERS_")

    port: int = 8002
    phone_region: Annotated[
        str, Field(description="Country of phone numbers written without one (ISO 3166)", pattern="^[A-Z]{2}$")
    ] = "GB"
    duplicates_every_minutes: Annotated[
        int, Field(description="How often likely duplicates are looked for; 0 is never", ge=0)
    ] = 60
