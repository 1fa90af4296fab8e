"""The HTTP door of the gateway: payments found and shown, matched by hand, refunded, recorded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from payments import schemas
from payments.errors import NoStripeKey, RefusedByStripe
from payments.service.find_payments import Page, Wanted, find_payments, show_payment
from payments.service.match_by_hand import match_by_hand, unmatch_by_hand
from payments.service.record_manual_payment import CashDesk, ManualPayment
from payments.service.request_refund import RefundDesk, RefundRequest
from payments.service.suggest_bookings import suggest_bookings
from payments.settings import Settings
from payments.timeline import timeline
from shared.fields import Word
from shared.internal_api import internal_router
from shared.problems import documented

Responses = dict[int | str, dict[str, Any]]

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key again is the same refund or payment",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What the routes call. ``refunds`` is absent without an API key."""

    engine: AsyncEngine
    source: str
    settings: Settings
    cash: CashDesk
    refunds: RefundDesk | None
    committed: Callable[[], None]


def router(door: Door) -> APIRouter:
    """Return the internal API."""
    routes = internal_router(door.settings, tag="payments")
    _add_lists(routes, door)
    _add_one(routes, door)
    _add_matching(routes, door)
    _add_money(routes, door)
    return routes


def _add_lists(routes: APIRouter, door: Door) -> None:
    @routes.get("/payments")
    async def search(query: Annotated[schemas.PaymentQuery, Query()]) -> schemas.PaymentPage:
        """Search payments, newest first."""
        return _page(await find_payments(door.engine, query.wanted, limit=query.limit, cursor=query.cursor))

    @routes.get("/users/{user_id}/payments")
    async def by_user(user_id: Word, limit: schemas.Limit = 50, cursor: schemas.Cursor = None) -> schemas.PaymentPage:
        """Return the payments of a user's bookings, newest first."""
        return _page(await find_payments(door.engine, Wanted(user_id=user_id), limit=limit, cursor=cursor))

    @routes.get("/bookings/{booking_id}/payments")
    async def by_booking(
        booking_id: Word, limit: schemas.Limit = 50, cursor: schemas.Cursor = None
    ) -> schemas.PaymentPage:
        """Return a booking's payments, newest first."""
        return _page(await find_payments(door.engine, Wanted(booking_id=booking_id), limit=limit, cursor=cursor))

    @routes.get("/payments/unmatched")
    async def unmatched(limit: schemas.Limit = 50, cursor: schemas.Cursor = None) -> schemas.UnmatchedPage:
        """Return payments without a booking, newest first, each with the bookings it may belong to."""
        page = await find_payments(door.engine, Wanted(unmatched=True), limit=limit, cursor=cursor)
        suggestions = await suggest_bookings(door.engine, page.payments)
        items = [
            schemas.UnmatchedItem(
                payment=schemas.payment_item(payment),
                suggestions=[
                    schemas.SuggestionItem.model_validate(each, from_attributes=True)
                    for each in suggestions[payment["id"]]
                ],
            )
            for payment in page.payments
        ]
        return schemas.UnmatchedPage(data=items, next=page.next)


def _add_one(routes: APIRouter, door: Door) -> None:
    @routes.get("/payments/{payment_id}", responses=documented(404))
    async def show(payment_id: UUID) -> schemas.PaymentDetail:
        """Return one payment with its timeline: deliveries, state changes, refunds, disputes, what people did."""
        return await _detail(door, payment_id)


def _add_matching(routes: APIRouter, door: Door) -> None:
    @routes.post("/payments/{payment_id}/match", responses=documented(400, 404))
    async def match(payment_id: UUID, body: schemas.MatchBody) -> schemas.PaymentDetail:
        """Give a payment to a booking. It stays there whatever Stripe or later bookings say."""
        await match_by_hand(door.engine, door.source, payment_id, booking=body.booking, by=body.decided_by)
        door.committed()
        return await _detail(door, payment_id)

    @routes.post("/payments/{payment_id}/unmatch", responses=documented(400, 404))
    async def unmatch(payment_id: UUID, body: schemas.UnmatchBody) -> schemas.PaymentDetail:
        """Take a payment away from its booking. No booking finds it by itself any more."""
        await unmatch_by_hand(door.engine, door.source, payment_id, by=body.decided_by)
        door.committed()
        return await _detail(door, payment_id)


def _add_money(routes: APIRouter, door: Door) -> None:
    pending: Responses = {
        202: {"model": schemas.RefundState, "description": "No answer of Stripe's yet: it is sent again"}
    }
    repeated: Responses = {200: {"model": schemas.RefundState, "description": "Asked for before with this key"}}

    @routes.post(
        "/payments/{payment_id}/refunds",
        status_code=201,
        responses={**documented(400, 404, 409), **pending, **repeated},
    )
    async def refund(payment_id: UUID, body: schemas.RefundBody, key: Key, response: Response) -> schemas.RefundState:
        """Give money back through Stripe. More than what is left is refused with the remaining amount."""
        if door.refunds is None:
            raise NoStripeKey
        amount = schemas.amount_of(body.amount)
        asked, is_new = await door.refunds.refund(
            payment_id, key=key, amount=amount, reason=body.reason, by=body.requested_by
        )
        door.committed()
        if asked.state == "refused":
            raise RefusedByStripe(asked.error or "")
        response.status_code = 202 if asked.state == "pending" else 201 if is_new else 200
        return _refund_state(asked)

    @routes.post(
        "/payments/manual",
        status_code=201,
        responses={
            **documented(400),
            200: {"model": schemas.PaymentDetail, "description": "Recorded before with this key"},
        },
    )
    async def record(body: schemas.ManualBody, key: Key, response: Response) -> schemas.PaymentDetail:
        """Record a payment by cash, bank transfer or invoice."""
        paid = ManualPayment(**{**body.model_dump(), "amount": schemas.amount_of(body.amount)})
        id_, is_new = await door.cash.record(paid, key=key)
        door.committed()
        response.status_code = 201 if is_new else 200
        return await _detail(door, id_)

    @routes.post("/payments/{payment_id}/cancel", responses=documented(400, 404, 409))
    async def cancel(payment_id: UUID, body: schemas.CancelBody) -> schemas.PaymentDetail:
        """Take back a payment that did not come through Stripe. Repeating it changes nothing."""
        await door.cash.cancel(payment_id, by=body.canceled_by, reason=body.reason)
        door.committed()
        return await _detail(door, payment_id)


async def _detail(door: Door, payment_id: UUID) -> schemas.PaymentDetail:
    payment, parts = await show_payment(door.engine, payment_id)
    return schemas.PaymentDetail(payment=schemas.payment_item(payment), timeline=timeline(parts))


def _page(page: Page) -> schemas.PaymentPage:
    return schemas.PaymentPage(data=[schemas.payment_item(row) for row in page.payments], next=page.next)


def _refund_state(asked: RefundRequest) -> schemas.RefundState:
    names = (name for name in schemas.RefundState.model_fields if name != "amount")
    facts = {name: getattr(asked, name) for name in names}
    return schemas.RefundState.model_validate({**facts, "amount": schemas.shown(asked.amount, asked.currency)})
