"""What is known of users and payments reaches the legacy row, and never stands in the legacy application's way."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.domain import DEFAULT_LAYOUT
from bookings_gateway.handlers import ReadModelHandler
from bookings_gateway.legacy_table import LegacyTableCache
from bookings_gateway.write_back import IS_DUE, WriteBack
from shared.events import Event
from shared.signal import Signal
from support.apply import apply
from support.events import linked, payment
from support.legacy_table import book, execute, fetch

ANN, BOB = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
LONG_AGO = "2020-01-01T00:00:00+00:00"


def paid(payment_id: str, booking_id: str | None, sequence: int = 1, *, refunded: int = 0, **data: Any) -> Event:
    """Return a payment with a method and a PaymentIntent; ``data`` replaces fields of its snapshot."""
    made = payment(payment_id, booking_id, sequence, refunded=refunded)
    fields = {"method": "card", "stripe_payment_intent_id": f"pi_{payment_id}", "paid_at": "2026-01-02T03:04:05Z"}
    return made.model_copy(update={"data": {**made.data, **fields, **data}})


async def settle(engine: AsyncEngine, *events: Event) -> int:
    """Take events in and write everything due."""
    await apply(engine, ReadModelHandler("GBP"), events)
    return await WriteBack(LegacyTableCache("bookings", DEFAULT_LAYOUT), Signal(), "Europe/London").write_due(engine)


async def row_of(engine: AsyncEngine, id_: str) -> dict[str, Any]:
    found = await fetch(engine, "SELECT row_to_json(b) FROM bookings b WHERE id = CAST(:id AS uuid)", id=id_)
    row: dict[str, Any] = found[0][0]
    return row


async def test_the_link_is_copied_and_updated_at_stays(gateway_engine: AsyncEngine) -> None:
    id_ = await book(gateway_engine, updatedAt=LONG_AGO)
    assert await settle(gateway_engine, linked(id_, ANN)) == 1
    assert await settle(gateway_engine, linked(id_, BOB, 2)) == 1

    row = await row_of(gateway_engine, id_)

    assert (row["user_id"], row["updatedAt"]) == (BOB, LONG_AGO)
    assert await settle(gateway_engine) == 0
    assert [row[0] for row in await fetch(gateway_engine, "SELECT CAST(op AS text) FROM booking_change")] == ["I"]


@pytest.mark.parametrize("status", ["PENDING", "CONFIRMED", "confirmed"])
async def test_a_payment_marks_a_waiting_booking_paid(gateway_engine: AsyncEngine, status: str) -> None:
    id_ = await book(gateway_engine, status=status, updatedAt=LONG_AGO)
    await settle(gateway_engine, paid("p1", id_))

    row = await row_of(gateway_engine, id_)

    assert (row["status"], row["paymentMethod"], row["paymentReference"]) == ("PAID", "CARD", "pi_p1")
    assert row["paymentDate"] == "2026-01-02T03:04:05+00:00"
    assert row["updatedAt"] > LONG_AGO


@pytest.mark.parametrize("status", ["PAID", "ATTENDED", "COMPLETED", "NO_SHOW", "CANCELLED", "Something new"])
async def test_a_payment_leaves_any_other_booking_as_it_is(gateway_engine: AsyncEngine, status: str) -> None:
    id_ = await book(gateway_engine, status=status)
    before = await row_of(gateway_engine, id_)
    await settle(gateway_engine, paid("p1", id_))

    assert await row_of(gateway_engine, id_) == before
    flag = "booking_cancelled" if status == "CANCELLED" else None
    assert await fetch(gateway_engine, "SELECT written, flag FROM booking_payment") == [(True, flag)]


async def test_the_newest_of_several_payments_is_written(gateway_engine: AsyncEngine) -> None:
    id_ = await book(gateway_engine)
    older, newer = paid("p2", id_, paid_at="2026-01-01T00:00:00Z"), paid("p1", id_)
    await settle(gateway_engine, older, newer)

    assert (await row_of(gateway_engine, id_))["paymentReference"] == "pi_p1"


async def test_a_refund_never_changes_a_status(gateway_engine: AsyncEngine) -> None:
    id_ = await book(gateway_engine)
    await settle(gateway_engine, paid("p1", id_))
    await execute(gateway_engine, "UPDATE bookings SET status = 'CONFIRMED'")

    assert await settle(gateway_engine, paid("p1", id_, 2, refunded=6750)) == 0
    assert (await row_of(gateway_engine, id_))["status"] == "CONFIRMED"


async def test_a_payment_of_the_history_is_never_written(gateway_engine: AsyncEngine) -> None:
    id_ = await book(gateway_engine)

    assert await settle(gateway_engine, paid("p1", id_, migrated=True)) == 0
    assert (await row_of(gateway_engine, id_))["status"] == "PENDING"


async def test_a_payment_matched_later_is_written_then(gateway_engine: AsyncEngine) -> None:
    id_ = await book(gateway_engine)
    assert await settle(gateway_engine, paid("p1", None)) == 0

    assert await settle(gateway_engine, paid("p1", id_, 2)) == 1
    assert (await row_of(gateway_engine, id_))["status"] == "PAID"


async def test_a_row_the_legacy_application_holds_is_skipped_and_comes_again(gateway_engine: AsyncEngine) -> None:
    held, free = await book(gateway_engine), await book(gateway_engine)
    events = [linked(held, ANN), linked(free, ANN), paid("p1", held), paid("p2", free)]
    async with gateway_engine.begin() as legacy:
        await legacy.execute(text("SELECT 1 FROM bookings WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": held})
        assert await settle(gateway_engine, *events) == 2
        assert (await row_of(gateway_engine, free))["status"] == "PAID"
        assert (await row_of(gateway_engine, held))["status"] == "PENDING"

    assert await settle(gateway_engine) == 2
    row = await row_of(gateway_engine, held)
    assert (row["status"], row["user_id"]) == ("PAID", ANN)


async def test_a_booking_that_is_gone_is_settled_and_its_payment_flagged(gateway_engine: AsyncEngine) -> None:
    gone = "00000000-0000-4000-8000-000000000001"
    events = [linked(gone, ANN), linked("temp-123", ANN), paid("p1", gone), paid("p2", "temp-123")]

    assert await settle(gateway_engine, *events) == 4
    assert await settle(gateway_engine) == 0
    assert {row[0] for row in await fetch(gateway_engine, "SELECT flag FROM booking_payment")} == {"booking_missing"}


async def test_more_than_a_page_is_written_at_once(gateway_engine: AsyncEngine) -> None:
    ids = [await book(gateway_engine) for _ in range(205)]

    assert await settle(gateway_engine, *(linked(id_, ANN) for id_ in ids)) == 205


async def test_whether_anything_is_due_is_looked_up_by_index_also_by_a_plan_made_for_empty_tables(
    gateway_engine: AsyncEngine,
) -> None:
    async with gateway_engine.connect() as connection:
        plan = "\n".join((await connection.execute(text(f"EXPLAIN {IS_DUE.text}"))).scalars())

    assert "booking_user_due" in plan
    assert "booking_payment_due" in plan
    assert "Seq Scan" not in plan
