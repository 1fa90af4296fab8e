"""Old answer or new: every answer of the legacy API goes through here."""

import json
from dataclasses import dataclass

from bookings_gateway.access.actor import Actor
from bookings_gateway.listing import Filter
from bookings_gateway.rollout.flags import Flag, Flags
from bookings_gateway.rollout.shadow import Shadow
from bookings_gateway.service import Bookings


@dataclass(frozen=True, slots=True)
class Rollout:
    """Serves each actor the answer that is switched on for them; beside an old one the new may be compared."""

    flags: Flags
    bookings: Bookings
    shadow: Shadow

    async def find(self, actor: Actor, wanted: Filter) -> tuple[bytes, int | None]:
        """Return a JSON array, and how many match; the old server did not count."""
        if self._is_enriched(actor):
            listing = await self.bookings.find(wanted)
            return listing.body, listing.total
        self._ask_for_comparison(actor)
        return await self.bookings.find_as_before(wanted), None

    async def get(self, actor: Actor, id_: str) -> bytes:
        """Return one booking as a JSON object."""
        if self._is_enriched(actor):
            return await self.bookings.get(id_)
        self._ask_for_comparison(actor)
        return await self.bookings.get_as_before(id_)

    async def answer(self, actor: Actor, written: bytes) -> bytes:
        """Return what a write answers, given the new answer to it."""
        if self._is_enriched(actor):
            return written
        return await self.bookings.get_as_before(str(json.loads(written)[self.bookings.tables.layout.id]))

    def _ask_for_comparison(self, actor: Actor) -> None:
        if self.flags.is_on(Flag.SHADOW, actor):
            self.shadow.ask()

    def _is_enriched(self, actor: Actor) -> bool:
        return self.flags.is_on(Flag.ENRICHMENT, actor)
