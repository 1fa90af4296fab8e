"""The HTTP door of payments: lists from the read model; refunds, manual payments and timelines from their service."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from bookings_gateway import customer_records as records
from bookings_gateway import schemas_admin as shown
from bookings_gateway import schemas_payments as bodies
from bookings_gateway.access.actor import Actor, current_actor
from bookings_gateway.access.policy import PAYMENTS
from bookings_gateway.admin_door import NEW, AdminDoor, Key, csv_body, repeated
from bookings_gateway.age import AGE_HEADER, AGED, age
from bookings_gateway.errors import Declined, NoSuchPayment, PartAway
from bookings_gateway.remote import Call, Part
from bookings_gateway.schemas_lists import PaymentFilters, PaymentQuery
from shared.problems import documented

Staff = Annotated[Actor, Depends(current_actor)]
_PAYING = documented(400, 404, 409)
_AMOUNTS = frozenset(["amount", "received", "refunded", "disputed", "net"])
_EXPORTED = (
    *("id", "status", "currency", "amount", "received", "refunded", "disputed", "net", "method", "bookingReference"),
    *("bookingId", "userId", "customerName", "reference", "stripePaymentIntentId", "paidAt", "createdAt"),
)


def router(door: AdminDoor) -> APIRouter:
    """Return the routes of payments; those with a fixed path come before ``{payment_id}``."""
    routes = APIRouter(prefix=PAYMENTS, tags=["payments"], responses=NEW)
    _add_lists(routes, door)
    _add_money(routes, door)
    _add_one(routes, door)
    return routes


def _add_lists(routes: APIRouter, door: AdminDoor) -> None:
    @routes.get("", responses={200: AGED})
    async def list_payments(response: Response, query: Annotated[PaymentQuery, Query()]) -> shown.PaymentPage:
        """Return payments; `total` counts all that match."""
        page = await records.find_payments(door.engine, query.wanted, limit=query.limit, offset=query.offset)
        await door.say_age(response)
        items = [shown.PaymentItem.model_validate(shown.payment_item(row)) for row in page.rows]
        return shown.PaymentPage(data=items, total=page.total, limit=query.limit, offset=query.offset)

    @routes.get("/export", response_class=StreamingResponse, responses={200: {**AGED, "content": {"text/csv": {}}}})
    async def export_payments(filters: Annotated[PaymentFilters, Query()]) -> StreamingResponse:
        """Return all payments that match as CSV, safe to open in a spreadsheet."""
        headers = {
            "Content-Disposition": 'attachment; filename="payments.csv"',
            AGE_HEADER: await age(door.engine),
        }
        body = csv_body(_EXPORTED, _cells(door, filters.wanted), amounts=_AMOUNTS)
        return StreamingResponse(body, media_type="text/csv; charset=utf-8", headers=headers)


def _add_one(routes: APIRouter, door: AdminDoor) -> None:
    @routes.get("/{payment_id}", responses=documented(404))
    async def get_payment(payment_id: UUID, response: Response) -> bodies.PaymentDetail:
        """Return one payment with its timeline."""
        row = await records.payment(door.engine, payment_id)
        timeline = await _timeline(door, payment_id)
        await door.say_age(response)
        extra = {"timeline": timeline, "unavailable": ["timeline"] if timeline is None else []}
        return bodies.PaymentDetail.model_validate({**shown.payment_item(row), **extra})


def _add_money(routes: APIRouter, door: AdminDoor) -> None:
    @routes.post("/manual", status_code=201, responses={**_PAYING, **repeated(bodies.RecordedPayment)})
    async def record_payment(
        body: bodies.ManualPayment, actor: Staff, key: Key, response: Response
    ) -> bodies.RecordedPayment:
        """Record a payment by cash, bank transfer or invoice."""
        order = {**body.model_dump(mode="json"), "recorded_by": actor.name}
        call = Call(Part.PAYMENTS, "POST", "/payments/manual", body=order, headers={"Idempotency-Key": key})
        after = {"amount": body.amount, "currency": body.currency}
        async with door.asking(actor, action="payment.recorded", entity="payment/new", after=after) as write:
            response.status_code, made = await door.remote.outcome(call, bodies.DetailOfPayments)
            write.entity = f"payment/{made.payment.id}"
        return bodies.RecordedPayment(id=made.payment.id, timeline=made.timeline)

    pending: dict[int | str, dict[str, Any]] = {
        202: {"model": bodies.Refund, "description": "No answer of Stripe's yet: it is sent again"}
    }

    @routes.post("/{payment_id}/refund", status_code=201, responses={**_PAYING, **repeated(bodies.Refund), **pending})
    async def refund_payment(
        payment_id: UUID, body: bodies.RefundOrder, actor: Staff, key: Key, response: Response
    ) -> bodies.Refund:
        """Give money back through Stripe. More than what is left is refused with the remaining amount."""
        order: dict[str, Any] = {**body.model_dump(mode="json"), "requested_by": actor.name}
        path, headers = f"/payments/{payment_id}/refunds", {"Idempotency-Key": key}
        call = Call(Part.PAYMENTS, "POST", path, body=order, headers=headers, patient=True)
        reason = {"reason": body.reason} if body.reason else {}
        wanted = {"amount": body.amount, **reason}
        async with door.asking(
            actor,
            action="payment.refunded",
            entity=f"payment/{payment_id}",
            before=await _shown_before(door, payment_id),
            after=wanted,
        ) as write:
            response.status_code, refund = await door.remote.outcome(call, bodies.Refund)
            write.after = {"amount": refund.amount, "currency": refund.currency, "state": refund.state, **reason}
        return refund


async def _shown_before(door: AdminDoor, payment_id: UUID) -> dict[str, Any] | None:
    """What the audit says of a payment before it is refunded; nothing, where none has been heard of."""
    try:
        item = shown.payment_item(await records.payment(door.engine, payment_id))
    except NoSuchPayment:
        return None
    return {name: item[name] for name in ("status", "received", "refunded")}


async def _timeline(door: AdminDoor, payment_id: UUID) -> list[bodies.TimelineItem] | None:
    try:
        found = await door.remote.ask(Call(Part.PAYMENTS, "GET", f"/payments/{payment_id}"), bodies.DetailOfPayments)
    except (PartAway, Declined):
        return None
    return found.timeline


async def _cells(door: AdminDoor, wanted: records.PaymentsWanted) -> AsyncIterator[list[object]]:
    async for row in records.every_payment(door.engine, wanted):
        item = shown.PaymentItem.model_validate(shown.payment_item(row)).model_dump(mode="json", by_alias=True)
        yield [item[name] for name in _EXPORTED]
