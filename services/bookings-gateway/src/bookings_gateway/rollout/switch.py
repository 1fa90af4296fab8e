"""Old answer or new: every answer of the legacy API goes through here."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any

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

    def export(self, actor: Actor, wanted: Filter) -> AsyncIterator[bytes]:
        """Yield the bookings wanted as CSV; what is switched off is not read either."""
        return self.bookings.export(wanted, enriched=self._is_enriched(actor))

    async def create(self, actor: Actor, fields: Mapping[str, Any]) -> bytes:
        """Make a booking and return it as a JSON object."""
        return await self.bookings.create(actor, fields, enriched=self._is_enriched(actor))

    async def update(
        self, actor: Actor, id_: str, fields: Mapping[str, Any], *, seen: Collection[str] | None = None
    ) -> bytes:
        """Change a booking, of a version ``seen``, and return it as a JSON object."""
        return await self.bookings.update(actor, id_, fields, seen=seen, enriched=self._is_enriched(actor))

    def _ask_for_comparison(self, actor: Actor) -> None:
        if self.flags.is_on(Flag.SHADOW, actor):
            self.shadow.ask()

    def _is_enriched(self, actor: Actor) -> bool:
        return self.flags.is_on(Flag.ENRICHMENT, actor)
