"""The HTTP door of a history's verification: every migrated payment as it stands, page by page."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.settings import Settings
from shared.fields import Word
from shared.internal_api import internal_router

# One that was taken back with its booking rests on nothing any more; one a person canceled, or that gave way to another
# payment, or that Stripe said something else of, still stands for its booking. Without an intent it is not Stripe that
# canceled it.
_MIGRATED = """
    SELECT id, booking_id, user_id, status, currency, amount, received, refunded, paid_at,
           stripe_payment_intent_id, provenance ->> 'reference' AS reference, provenance ->> 'evidence' AS evidence,
           status NOT IN ('succeeded', 'pending') OR EXISTS (
               SELECT FROM stripe_object o WHERE o.payment_id = p.id AND o.kept IS NOT NULL
           ) AS told_by_stripe,
           matched_by_hand,
           CASE WHEN matched_by_hand THEN (
               SELECT min(e.booking_id) FROM booking_evidence e WHERE e.payment_id = p.id
           ) END AS proved_by,
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
# A page of users first, by the index of theirs: their payments are few, all of them are not.
_SUMS = """
    SELECT u.user_id AS id, s.currencies
    FROM (
        SELECT DISTINCT user_id FROM payment WHERE user_id > :after ORDER BY user_id LIMIT :limit
    ) u
    CROSS JOIN LATERAL (
        SELECT coalesce(json_agg(c), '[]') AS currencies FROM (
            SELECT currency, sum(received) AS received, sum(refunded) AS refunded, sum(net) AS net
            FROM payment p WHERE p.user_id = u.user_id AND currency IS NOT NULL GROUP BY currency
        ) c
    ) s
    ORDER BY u.user_id
"""

_FIRST = UUID(int=0)


class MigratedPayment(BaseModel):
    """A payment a historical booking proved. Amounts in minor units of ``currency``.

    ``canceled``: by a person, or because the money is there as another payment. ``proved_by``: of one
    ``matched_by_hand`` that booking, whichever a person gave the payment to.
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
    matched_by_hand: bool
    proved_by: str | None


class MigratedPage(BaseModel):
    """Payments in the order of their ids; the next page begins after the last."""

    items: list[MigratedPayment]


class CurrencySums(BaseModel):
    """What came and went, in minor units; ``net`` is without what was refunded or is disputed."""

    currency: str
    received: int
    refunded: int
    net: int


class UserSums(BaseModel):
    """The payments of one user, whoever they were merged into, by currency."""

    id: str
    currencies: list[CurrencySums]


class SumsPage(BaseModel):
    """Users in the order of their ids; the next page begins after the last."""

    items: list[UserSums]


def create_router(engine: AsyncEngine, settings: Settings) -> APIRouter:
    """Return the route."""
    router = internal_router(settings, tag="history")

    @router.get("/history/payments", response_class=Response, responses={200: {"model": MigratedPage}})
    async def migrated(after: UUID = _FIRST, limit: Annotated[int, Query(ge=1, le=10_000)] = 5_000) -> Response:
        """Return payments that an import brought and that stand, after an id."""
        return await _page(engine, _MIGRATED, {"after": after, "limit": limit})

    @router.get("/history/sums", response_class=Response, responses={200: {"model": SumsPage}})
    async def sums(after: Word = str(_FIRST), limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000) -> Response:
        """Return what users paid, whatever brought the payments, after a user's id."""
        return await _page(engine, _SUMS, {"after": after, "limit": limit})

    return router


async def _page(engine: AsyncEngine, items: str, bound: Mapping[str, object]) -> Response:
    """PostgreSQL writes the JSON: a webhook that comes meanwhile does not wait for a thousand models to be made."""
    agg = "coalesce(json_agg(i ORDER BY i.id), '[]')"
    page = text(f"SELECT CAST(json_build_object('items', {agg}) AS text) FROM ({items}) i")  # noqa: S608 - constants
    async with engine.connect() as connection:
        body: str = (await connection.execute(page, bound)).scalar_one()
    return Response(body, media_type="application/json")
