"""The message door: users, links, totals and payments come in and are kept for the listing."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway import read_model
from shared import contracts
from shared.consumer import Group
from shared.contracts import BookingLinkSnapshot, PaymentSnapshot, UserSnapshot, UserTotalsSnapshot
from shared.events import Event
from shared.inbox import InboxHandler

Row = dict[str, Any]

_USERS = ("user.registered", "user.updated")
_LINKS = ("user.booking_linked",)
_TOTALS = ("user_totals.changed",)
_PAYMENTS = tuple(type_ for type_ in contracts.CONTRACTS if type_.startswith("payment."))


@dataclass(frozen=True, slots=True)
class Table:
    """Where events of some types end, by which key, and what of a snapshot is kept."""

    key: str
    row: Callable[[Any], Row]
    statement: TextClause


class ReadModelHandler(InboxHandler):
    """Keeps the newest snapshot per aggregate, whatever order events come in."""

    def __init__(self, currency: str) -> None:
        totals = Table("user_id", lambda snapshot: totals_row(snapshot, currency), read_model.KEEP_TOTALS)
        self._tables: Mapping[str, Table] = {
            **dict.fromkeys(_USERS, Table("user_id", user_row, read_model.KEEP_USERS)),
            **dict.fromkeys(_LINKS, Table("booking_id", link_row, read_model.KEEP_LINKS)),
            **dict.fromkeys(_TOTALS, totals),
            **dict.fromkeys(_PAYMENTS, Table("payment_id", payment_row, read_model.KEEP_PAYMENTS)),
        }

    @property
    def types(self) -> frozenset[str]:
        return frozenset(self._tables)

    async def apply(self, connection: AsyncConnection, group: Group) -> None:
        for table in dict.fromkeys(self._tables.values()):
            rows = newest(table, [event for event in group.events if self._tables[event.type] is table])
            if rows:
                await connection.execute(table.statement, {name: [row[name] for row in rows] for name in rows[0]})


def newest(table: Table, events: Sequence[Event]) -> list[Row]:
    """Return one row per key, that of its highest sequence, in key order: no statement may touch a row twice."""
    rows: dict[str, Row] = {}
    for event in sorted(events, key=lambda event: event.sequence):
        row = {**table.row(contracts.read(event)), "sequence": event.sequence}
        rows[row[table.key]] = row
    return [rows[key] for key in sorted(rows)]


def user_row(user: UserSnapshot) -> Row:
    return user.model_dump()


def link_row(link: BookingLinkSnapshot) -> Row:
    return link.model_dump()


def totals_row(totals: UserTotalsSnapshot, currency: str) -> Row:
    """Keep the sums of the business's own currency beside all of them."""
    own = next((sums for sums in totals.currencies if sums.currency == currency), None)
    return {
        **totals.model_dump(exclude={"currencies"}),
        "total_spent": own.total_spent if own else Decimal(0),
        "total_paid": own.total_paid if own else Decimal(0),
        "total_refunded": own.total_refunded if own else Decimal(0),
        "currencies": json.dumps([sums.model_dump(mode="json") for sums in totals.currencies]),
    }


def payment_row(payment: PaymentSnapshot) -> Row:
    kept = {"payment_id", "booking_id", "status", "currency", "received", "refunded", "disputed", "open_disputes"}
    kept |= {"method", "migrated"}
    return {
        **payment.model_dump(include=kept),
        "reference": payment.stripe_payment_intent_id or payment.stripe_charge_id or payment.payment_id,
        "paid_at": payment.paid_at or payment.created_at,
    }
