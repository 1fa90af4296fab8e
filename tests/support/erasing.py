"""Erasing in the gateway by hand, and a person whose name is in no other row."""

import json
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.capture import Capture
from bookings_gateway.domain import DEFAULT_LAYOUT
from bookings_gateway.erase import Erase
from bookings_gateway.handlers import ReadModelHandler
from bookings_gateway.legacy_table import LegacyTableCache
from shared.events import Event
from shared.signal import Signal
from support.apply import apply
from support.legacy_table import book, fetch

SECRET = "Quillfeather"
ANN, BOB = f"Ann {SECRET}", "Bob Orr"
CONTACT = {"firstName": "Ann", "lastName": SECRET, "email": f"Ann.{SECRET}@example.com", "phone": "07700 900987"}
PARTICIPANTS = [{"firstName": "Cy", "lastName": SECRET, "medicalNotes": "nuts"}]
PHONE = "789009007"  # its digits as they are searched for


@dataclass
class Erasing:
    """The gateway's workers, run by hand."""

    engine: AsyncEngine

    async def capture(self) -> None:
        """Turn captured changes into events, and take those in as the broker would bring them."""
        while await Capture(Signal(), DEFAULT_LAYOUT, "GBP", ZoneInfo("UTC")).capture_page(self.engine, "/gateway"):
            pass
        events = [Event.model_validate(json.loads(row[0])) for row in await self._log()]
        await apply(self.engine, ReadModelHandler("GBP"), events)

    async def _log(self) -> list[tuple[Any, ...]]:
        return await fetch(self.engine, "SELECT CAST(body AS text) FROM event_log ORDER BY seq")

    async def erase(self) -> int:
        return await Erase(LegacyTableCache("bookings", DEFAULT_LAYOUT), Signal()).erase_due(self.engine)

    async def traces(self, *values: str) -> list[str]:
        """Return every table in which one of the values is found anywhere."""
        tables = await fetch(
            self.engine,
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
            "WHERE schemaname IN ('gateway', 'public')",
        )
        found = []
        for (table,) in tables:
            body = f"SELECT coalesce(string_agg(CAST(t AS text), ' '), '') FROM {table} t"  # noqa: S608 - a catalogue's name
            said = (await fetch(self.engine, body))[0][0].lower()
            found += [table for value in values if value.lower() in said or value.encode().hex() in said]
        return found


async def booked(engine: AsyncEngine, **columns: Any) -> str:
    return await book(engine, contactDetails=CONTACT, participants=PARTICIPANTS, finalAmount="67.50", **columns)
