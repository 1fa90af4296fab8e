"""Erasing across the services: nothing of the person anywhere, for good, and the same money."""

from contextlib import aclosing
from typing import Any

from shared.channel import ReopeningChannel
from shared.database import create_engine
from shared.publisher import RabbitPublisher
from shared.replay import Selection, replay
from support import stripe_payloads as stripe
from support.bearer import BEARER
from support.broker import depth
from support.office import Office
from support.planted import CONTACT, EMAIL, PERSONAL, nothing_left, plant, set_aside_late
from support.system import System
from support.traces import traces
from support.waiting import eventually


async def test_an_erased_person_is_nowhere_and_nothing_brings_them_back_and_the_money_is_the_same(
    whole: System, office: Office
) -> None:
    user_id, bookings = await plant(whole, office)
    before = await money(whole, office, user_id)
    assert len(before["bookings"]) == 2
    assert {place.split(" = ")[1] for place in await traces(whole, PERSONAL)} == set(PERSONAL)

    assert (await office.get(f"/users/{user_id}/erase-preview"))["counts"]["bookings_kept"] == 2
    refused = await office.ask("POST", f"/users/{user_id}/erase", json={"reason": "asked", "confirm": "x@y.example"})
    assert refused.status_code == 409, refused.text
    erased = await office.post(f"/users/{user_id}/erase", {"reason": "asked for", "confirm": EMAIL})
    assert erased["users"] == [user_id]
    await office.settled()
    await nothing_left(whole)
    assert await money(whole, office, user_id) == before

    late = {"id": "cus_77", "object": "customer", "email": EMAIL, "name": "late-surname"}
    await whole.send_webhook(office.http, stripe.event("customer.deleted", late))
    await set_aside_late(whole, bookings[0])
    await replay_everything(whole)
    await office.settled()
    await nothing_left(whole)
    assert await money(whole, office, user_id) == before

    anew = await office.user_of(await office.book(CONTACT, "1.00"))
    assert anew != user_id
    await office.settled()
    assert await money(whole, office, user_id) == before


async def money(whole: System, office: Office, user_id: str) -> dict[str, Any]:
    """What is kept of a person: sums, and which bookings are theirs."""
    totals = await office.http.get(f"{whole.services['stats'].url}/internal/users/{user_id}/totals", headers=BEARER)
    detail = await office.get(f"/users/{user_id}")
    sql = 'SELECT id::text, user_id::text, "finalAmount", status FROM bookings WHERE user_id::text = $1 ORDER BY id'
    return {
        "stats": {**totals.json(), "last_activity_date": None},
        "shown": {name: value for name, value in detail.items() if name.startswith("total")},
        "bookings": [tuple(row) for row in await whole.query("bookings-gateway", sql, user_id)],
        "payments": sorted(row["received"] for row in (await office.get(f"/users/{user_id}/payments"))["data"]),
    }


async def replay_everything(whole: System) -> None:
    """Send every producer's log again to each of its consumers."""
    consumers = {
        "bookings-gateway": ["users", "payments", "stats", "bookings-gateway"],
        "users": ["payments", "stats", "bookings-gateway"],
        "payments": ["stats", "bookings-gateway"],
        "stats": ["bookings-gateway"],
    }
    async with (
        aclosing(RabbitPublisher(whole.amqp_url)) as publisher,
        aclosing(ReopeningChannel(whole.amqp_url)) as probe,
    ):
        for producer, heard in consumers.items():
            engine = create_engine(whole.database_urls[producer], name="replay", search_path="gateway,public")
            for consumer in heard:
                async for _ in replay(engine, publisher, probe, to=consumer, selection=Selection()):
                    pass
            await engine.dispose()

    async def taken_in() -> bool:
        depths = [await depth(whole.amqp_url, f"{consumer}.bulk") for consumer in whole.services]
        return sum(depths) == 0

    await eventually(taken_in, what="the replays taken in")
