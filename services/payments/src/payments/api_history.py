"""The HTTP door of a history's verification: every migrated payment as it stands, page by page."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.settings import Settings
from shared.internal_api import internal_router

# One that was taken back with its booking rests on nothing any more; one a person canceled, or that gave way to another
# payment, or that Stripe said something else of, still stands for its booking. Without an intent it is not Stripe that
# canceled it.
_MIGRATED = text(
    """
    SELECT id, booking_id, user_id, status, currency, amount, received, refunded, paid_at,
           stripe_payment_intent_id, provenance ->> 'reference' AS reference, provenance ->> 'evidence' AS evidence,
           stripe_charge_id IS NOT NULL OR status NOT IN ('succeeded', 'pending') AS told_by_stripe,
           status = 'canceled' AND (stripe_payment_intent_id IS NULL OR EXISTS (
               SELECT FROM booking_evidence e WHERE e.payment_id = p.id AND e.canceled_at IS NOT NULL
           )) AS canceled
    FROM (  -- the page first: of all payments at once, who was canceled would be found by reading all the evidence
        SELECT * FROM payment
        WHERE migrated AND id > :after AND (status IN ('succeeded', 'pending') OR provenance IS NOT NULL)
        ORDER BY id LIMIT :limit
    ) p
    ORDER BY id
    """
)

_FIRST = UUID(int=0)


class MigratedPayment(BaseModel):
    """A payment a historical booking proved. Amounts in minor units of ``currency``.

    ``canceled``: by a person, or because the money is there as another payment.
    """

    id: UUID
    booking_id: str | None
    user_id: str | None
    status: str
    currency: str
    amount: int
    received: int
    refunded: int
    paid_at: AwareDatetime | None
    stripe_payment_intent_id: str | None
    reference: str | None
    evidence: str | None
    told_by_stripe: bool
    canceled: bool


class MigratedPage(BaseModel):
    """Payments in the order of their ids; the next page begins after the last."""

    items: list[MigratedPayment]


def create_router(engine: AsyncEngine, settings: Settings) -> APIRouter:
    """Return the route."""
    router = internal_router(settings, tag="history")

    @router.get("/history/payments")
    async def migrated(after: UUID = _FIRST, limit: Annotated[int, Query(ge=1, le=10_000)] = 5_000) -> MigratedPage:
        """Return payments that an import brought and that stand, after an id."""
        async with engine.connect() as connection:
            rows = (await connection.execute(_MIGRATED, {"after": after, "limit": limit})).mappings().all()
        return MigratedPage(items=[MigratedPayment.model_validate(dict(row)) for row in rows])

    return router
