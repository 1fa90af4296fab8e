"""Take in an object as Stripe's API shows it now, through the same rules as events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments import models
from payments.domain.objects import StripeObject
from payments.service.apply_fetched import apply_fetched


@dataclass(frozen=True, slots=True)
class FetchedTaker:
    """Commits fetched objects one by one, and only those that changed something."""

    engine: AsyncEngine
    source: str
    livemode: bool

    def is_foreign(self, raw: Mapping[str, Any]) -> bool:
        """Say whether the object is of the other mode; refunds do not tell."""
        return raw.get("livemode", self.livemode) is not self.livemode

    async def known(self, ids: Sequence[str]) -> dict[str, StripeObject]:
        """Return the objects as they are kept, of those that are."""
        async with self.engine.connect() as connection:
            return await models.kept_objects(connection, ids)

    async def take(self, raw: Mapping[str, Any], *, requested_at: datetime, dry_run: bool = False) -> bool:
        """Return whether the object changed by it; commits if so, unless it is a dry run.

        Raises :class:`payments.errors.UnreadableEvent`.
        """
        async with self.engine.connect() as connection:
            transaction = await connection.begin()
            changed = await self.apply(connection, raw, requested_at=requested_at)
            await (transaction.commit() if changed and not dry_run else transaction.rollback())
        return changed

    async def apply(self, connection: AsyncConnection, raw: Mapping[str, Any], *, requested_at: datetime) -> bool:
        """Do so in the caller's transaction, who commits."""
        ids = [str(raw.get("id"))]
        before = await models.kept_objects(connection, ids)
        await apply_fetched(connection, raw, requested_at=requested_at)
        return await models.kept_objects(connection, ids) != before
