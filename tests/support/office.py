"""The admin API of the four real services, as the office uses it; customers book and pay by it too."""

from typing import Any

import httpx

from support import stripe_payloads as stripe
from support.oracle import drained
from support.system import System
from support.waiting import eventually


class Office:
    """Somebody with every role, who books, pays and decides through the API of a whole system."""

    def __init__(self, whole: System, http: httpx.AsyncClient) -> None:
        self.whole = whole
        self.http = http

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        return await self.http.request(method, f"{self.whole.gateway.url}/api/admin{path}", **request)

    async def get(self, path: str, **query: Any) -> Any:
        response = await self.ask("GET", path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    async def post(self, path: str, body: Any, *, status: int = 200, key: str | None = None) -> Any:
        response = await self.ask("POST", path, json=body, headers={"Idempotency-Key": key} if key else {})
        assert response.status_code == status, (response.status_code, response.text)
        return response.json() if response.content else None

    async def book(self, contact: dict[str, Any], amount: str, **columns: Any) -> str:
        body = {"contactDetails": contact, "finalAmount": amount, **columns}
        return str((await self.post("/bookings", body, status=201))["id"])

    async def pay(self, booking_id: str, amount: int, intent: str, **fields: Any) -> None:
        paid = stripe.payment_intent(
            intent,
            amount=amount,
            amount_received=amount,
            latest_charge=f"ch_{intent}",
            metadata={"bookingId": booking_id},
            **fields,
        )
        await self.whole.send_webhook(self.http, stripe.event("payment_intent.succeeded", paid))

    async def settled(self) -> None:
        await drained(self.whole, seconds=30)

    async def user_of(self, booking_id: str) -> str:
        async def linked() -> str | None:
            rows = await self.whole.query(
                "users", "SELECT user_id::text FROM booking_link WHERE booking_id = $1", booking_id
            )
            return rows[0]["user_id"] if rows else None

        return str(await eventually(linked, what="the link"))
