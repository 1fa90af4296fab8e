"""The internal API of payments without broker and server."""

from fastapi import FastAPI

from payments.api_payments import Door, router
from payments.service.record_manual_payment import CashDesk
from payments.service.request_refund import RefundDesk
from payments.settings import Settings
from shared.problems import answer_errors
from support.bearer import TOKEN
from support.payments import Payments
from support.stripe_payloads import SECRET


def operating_settings(**others: object) -> Settings:
    """Return settings with a token."""
    return Settings.model_validate(
        {
            "database_url": "postgresql://unused",
            "amqp_url": "amqp://unused",
            "stripe_webhook_secrets": SECRET,
            "internal_token": TOKEN,
            **others,
        }
    )


def internal_app(payments: Payments, refunds: RefundDesk | None, **settings: object) -> FastAPI:
    """Return the internal API alone."""
    app = FastAPI()
    door = Door(
        engine=payments.engine,
        source="/payments",
        settings=operating_settings(**settings),
        cash=CashDesk(payments.engine, "/payments"),
        refunds=refunds,
        committed=payments.stored.set,
    )
    app.include_router(router(door))
    answer_errors(app)
    return app
