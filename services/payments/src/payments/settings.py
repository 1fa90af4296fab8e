"""Settings of the payments service."""

from typing import Annotated, ClassVar

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from ``PAYMENTS_…``."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(env_prefix="PAYMENTS_")

    port: int = 8001
    stripe_webhook_secrets: Annotated[
        SecretStr,
        Field(
            validate_default=True,
            description="Signing secrets of the webhook endpoint (whsec_…), comma separated; two while rotating",
        ),
    ] = SecretStr("")
    webhook_tolerance_seconds: Annotated[
        int, Field(gt=0, description="How far a signature's time may be from now, in either direction")
    ] = 300
    livemode: Annotated[bool, Field(description="Whether events of Stripe's live mode are taken, or test mode's")] = (
        False
    )
    stripe_account: Annotated[
        str | None, Field(description="The connected account (acct_…) events may name; without it, none")
    ] = None
    stripe_api_key: Annotated[SecretStr | None, Field(description="Key for calls to Stripe's API")] = None
    stripe_api_base: Annotated[str | None, Field(description="Stripe's API, when it is not api.stripe.com")] = None
    reconcile_every_minutes: Annotated[
        int, Field(ge=0, description="How often Stripe is asked what was missed; 0 is never. Needs the API key")
    ] = 60
    reconcile_overlap_minutes: Annotated[
        int, Field(ge=1, description="How far before the last complete run Stripe is asked again: events surface late")
    ] = 180

    @field_validator("stripe_webhook_secrets")
    @classmethod
    def _at_least_one(cls, value: SecretStr) -> SecretStr:
        if not _split(value):
            raise ValueError("a signing secret (whsec_…) is needed: without one anybody could mark a booking paid")
        return value

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        return _split(self.stripe_webhook_secrets)


def _split(secrets: SecretStr) -> tuple[str, ...]:
    return tuple(secret.strip() for secret in secrets.get_secret_value().split(",") if secret.strip())
