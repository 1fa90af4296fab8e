"""Dates no calendar of ours has: the row is told without them and shown to a person, and nothing stops for them."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from bookings_gateway.history.items import Setting, SourceRow, item_of
from bookings_gateway.layouts import PRESETS
from support.databases import Databases
from support.history import moving
from support.legacy_history import facts

START, END = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "zone"),
    [
        ("0001-01-01T00:00:00+00:00", "Europe/London"),
        ("0001-01-01T00:00:00", "Europe/Berlin"),
        ("9999-12-31T23:59:59+00:00", "Pacific/Auckland"),
        ("10000-01-01T00:00:00+00:00", "Europe/London"),
        ("0044-03-15T00:00:00+00:00 BC", "Europe/London"),
        ("infinity", "Europe/London"),
        ("2026-01-01T00:00:00+00:00", "Europe/London"),
    ],
)
def test_a_row_with_such_a_date_of_payment_is_told_without_it_and_reviewed(date: str, zone: str) -> None:
    row = {"id": "b1", "status": "PENDING", "finalAmount": 10, "paymentDate": date, "createdAt": "2024-01-01T00:00:00Z"}
    setting = Setting(PRESETS["default"], "GBP", ZoneInfo(zone), datetime(2025, 1, 1, tzinfo=UTC))

    item = item_of(SourceRow("b1", json.dumps(row), b""), setting)

    assert (item.outcome, item.class_, item.reviews) == ("published", "none", ("payment_date_unusable",))


async def test_such_dates_stop_neither_prediction_nor_import_nor_verification(databases: Databases) -> None:
    ordinary = [fact for fact in facts(90, seed=71) if fact.status == "PENDING" and fact.mailbox and not fact.company]
    bookings = [
        replace(ordinary[0], paid_on=START),
        replace(ordinary[1], paid_on=END),
        replace(ordinary[2], created=START),
        replace(ordinary[3], created=None, paid_on=START),
    ]
    async with moving(databases, "default", bookings) as moved:
        predicted = await moved.history.predict()
        assert await moved.import_all() == len(bookings)
        await moved.settle()
        verification = await moved.verified()

    assert predicted.counts.reviews["payment_date_unusable"] == 3
    assert predicted.counts.reviews["created_at_missing"] == 2
    assert {check.name for check in verification.checks if not check.passed} == {"V13"}
