"""The demo's cast: who books what by which way, who pays, and who gets something back."""

import json
import secrets
import time
from dataclasses import dataclass, field
from decimal import Decimal

import stripe

from local_stack.demo_clients import Clients, Json
from local_stack.demo_sample import REFERENCE
from local_stack.services import GATEWAY

CURRENCY = "gbp"
_CARD = "pm_card_visa"  # Stripe's own name of a card that always pays
_NOTHING = Decimal(0)

_BOOK = """
    INSERT INTO bookings ("bookingReference", status, "contactDetails", "finalAmount")
    VALUES ($1, 'PENDING', CAST($2 AS jsonb), $3) RETURNING id::text
"""
_USERS = """
    SELECT DISTINCT user_id::text FROM bookings
    WHERE lower(btrim("contactDetails" ->> 'email')) = $1 AND user_id IS NOT NULL
"""


@dataclass(frozen=True)
class Money:
    """What a user has paid and got back, in major units."""

    paid: Decimal = _NOTHING
    refunded: Decimal = _NOTHING

    @classmethod
    def of(cls, totals: Json | None) -> "Money":
        """The demo's currency in what stats tells of a user."""
        for sums in totals["currencies"] if totals else []:
            if sums["currency"].lower() == CURRENCY:
                return cls(Decimal(sums["total_paid"]), Decimal(sums["total_refunded"]))
        return cls()


@dataclass
class Deal:
    """One booking, its payment and its refund. Ids are known once the deed is done."""

    reference: str
    first_name: str
    last_name: str
    email: str
    amount: Decimal
    by: str
    paid: bool = False
    refunded: Decimal = _NOTHING
    before: Money = field(default_factory=Money)
    booking_id: str = ""
    user_id: str = ""
    intent_id: str = ""
    payment_id: str = ""
    refund_id: str = ""

    @property
    def name(self) -> str:
        return f"{self.first_name.title()} {self.last_name}"

    @property
    def after(self) -> Money:
        """What the user will have paid and got back because of this deal."""
        return Money(self.before.paid + (self.amount if self.paid else 0), self.before.refunded + self.refunded)

    @property
    def contact(self) -> Json:
        return {"firstName": self.first_name, "lastName": self.last_name, "email": self.email}

    async def book(self, clients: Clients) -> None:
        """Make the booking: through the API, or by plain SQL as the legacy application does."""
        if self.by == "SQL":
            database = clients.databases[GATEWAY]
            contact = json.dumps(self.contact)
            self.booking_id = str(await database.fetchval(_BOOK, self.reference, contact, self.amount))
            return
        body = {"bookingReference": self.reference, "contactDetails": self.contact, "finalAmount": str(self.amount)}
        response = await clients.http.post(f"{clients.url(GATEWAY)}/api/admin/bookings", json=body)
        self.booking_id = response.raise_for_status().json()["id"]

    async def pay(self, clients: Clients) -> None:
        """Create and confirm a PaymentIntent; localstripe tells our webhook a second later, signed, by itself."""
        intents = clients.stripe.v1.payment_intents
        intent = await intents.create_async(
            {
                "amount": minor_units(self.amount),
                "currency": CURRENCY,
                "payment_method": _CARD,
                "metadata": {"bookingId": self.booking_id},
            }
        )
        self.intent_id = intent.id
        await intents.confirm_async(intent.id)

    async def refund(self, clients: Clients) -> None:
        """Refund a part. localstripe makes the refund but tells nobody, so the event is ours; it is delivered twice."""
        refund = await clients.stripe.v1.refunds.create_async(
            {"payment_intent": self.intent_id, "amount": minor_units(self.refunded)}
        )
        self.refund_id = refund.id
        body = json.dumps(_event("refund.created", refund.to_dict()))
        for _ in range(2):
            await clients.post_webhook(body)


def minor_units(amount: Decimal) -> int:
    """Pence of pounds."""
    return int(amount * 100)


async def new_deals(clients: Clients) -> list[Deal]:
    """This run's deals; the people are the same in every run, so their totals grow."""
    run = secrets.token_hex(3).upper()
    cast = (
        ("Ann", "Lee", "ann.lee@example.com", "120.00", "API", True, "0"),
        ("Ben", "Okafor", "ben@example.com", "250.50", "SQL", True, "50.50"),
        ("ANN", "Lee", " Ann.Lee@Example.com ", "79.50", "SQL", False, "0"),
        ("Chloé", "Martin", "chloe@example.com", "45.00", "API", False, "0"),
    )
    return [
        Deal(
            f"{REFERENCE}{run}-{number}",
            first,
            last,
            email,
            Decimal(amount),
            by,
            paid,
            Decimal(refunded),
            before=await _money_before(clients, email.strip().lower()),
        )
        for number, (first, last, email, amount, by, paid, refunded) in enumerate(cast, start=1)
    ]


async def _money_before(clients: Clients, address: str) -> Money:
    user_id = await clients.databases[GATEWAY].fetchval(_USERS, address)
    return Money.of(await clients.totals(user_id)) if user_id else Money()


def _event(type_: str, item: Json) -> Json:
    return {
        "id": f"evt_demo_{secrets.token_hex(8)}",
        "object": "event",
        "api_version": stripe.api_version,
        "created": int(time.time()),
        "data": {"object": item},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type_,
    }
