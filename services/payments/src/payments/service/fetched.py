"""Take in an object as Stripe's API shows it now, through the same rules as events, in a transaction of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from payments.service.apply_fetched import apply_fetched


@dataclass(frozen=True, slots=True)
class FetchedTaker:
    """Commits fetched objects one by one; ``committed`` is called after each that changed something."""

    engine: AsyncEngine
    source: str
    livemode: bool
    committed: Callable[[], None] = field(default=lambda: None)

    def is_foreign(self, raw: Mapping[str, Any]) -> bool:
        """Say whether the object is of the other mode; refunds do not tell."""
        return raw.get("livemode", self.livemode) is not self.livemode

    async def take(self, raw: Mapping[str, Any], *, requested_at: datetime, dry_run: bool = False) -> bool:
        """Return whether anything became known by it; a dry run finds out and leaves everything as it was.

        Raises :class:`payments.errors.UnreadableEvent`.
        """
        async with self.engine.connect() as connection:
            transaction = await connection.begin()
            news = await apply_fetched(connection, raw, requested_at=requested_at, source=self.source)
            await (transaction.rollback() if dry_run else transaction.commit())
        if news and not dry_run:
            self.committed()
        return news
