"""The service does not start in a state where anybody could mark a booking paid."""

import pytest
from pydantic import ValidationError

from payments.settings import Settings

BASE = {"database_url": "postgresql://unused", "amqp_url": "amqp://unused"}


@pytest.mark.parametrize("secrets", [None, "", " ", " , "])
def test_no_secret_refuses_to_start_with_a_sentence(monkeypatch: pytest.MonkeyPatch, secrets: str | None) -> None:
    monkeypatch.delenv("PAYMENTS_STRIPE_WEBHOOK_SECRETS", raising=False)
    given = BASE if secrets is None else {**BASE, "stripe_webhook_secrets": secrets}
    with pytest.raises(ValidationError, match="a signing secret"):
        Settings.model_validate(given)


def test_several_secrets_are_told_apart_and_never_printed() -> None:
    settings = Settings.model_validate({**BASE, "stripe_webhook_secrets": "whsec_new, whsec_old,"})
    assert settings.webhook_secrets == ("whsec_new", "whsec_old")
    assert "whsec" not in repr(settings)
