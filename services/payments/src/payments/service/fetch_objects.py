"""Read from Stripe what events did not say enough of: the requests processing leaves behind."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.errors import StripeRefused, UnreadableEvent
from payments.service import fetch_requests
from payments.service.fetch_requests import FetchRequest
from payments.service.fetched import FetchedTaker
from payments.stripe_gateway import StripeApi

log = structlog.get_logger(__name__)

_PAGE = 100
PATHS: Mapping[str, str] = {
    "payment_intent": "payment_intents",
    "charge": "charges",
    "refund": "refunds",
    "dispute": "disputes",
    "checkout_session": "checkout/sessions",
}

Items = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ObjectReader:
    """Pages of objects as Stripe shows them now, and when it was asked."""

    api: StripeApi

    async def listed(self, path: str, **params: object) -> AsyncIterator[tuple[Items, datetime]]:
        """Walk a list from the newest object to the oldest."""
        cursor: dict[str, object] = {}
        while True:
            answer = await self.api.get(f"/v1/{path}", limit=_PAGE, **params, **cursor)
            items = [item for item in answer.data.get("data") or [] if isinstance(item, Mapping)]
            yield items, answer.requested_at
            if not items or answer.data.get("has_more") is not True:
                return
            cursor = {"starting_after": items[-1]["id"]}

    async def one(self, kind: str, id_: str) -> tuple[Items, datetime]:
        """Return one object; none when Stripe does not know it."""
        try:
            answer = await self.api.get(f"/v1/{PATHS[kind]}/{id_}")
        except StripeRefused as refused:
            if refused.status != 404:
                raise
            return [], datetime.min
        return [answer.data], answer.requested_at


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Answers fetch requests."""

    engine: AsyncEngine
    reader: ObjectReader
    taker: FetchedTaker

    async def fetch_due(self, *, pause_seconds: float = 0) -> int:
        """Answer the oldest requests and return how many; commits one by one.

        Those made within the pause are left: an event under way may answer them. Raises
        :class:`payments.errors.StripeAway`: what is not answered stays due.
        """
        async with self.engine.connect() as connection:
            due = await fetch_requests.due(connection, limit=_PAGE, pause_seconds=pause_seconds)
        for request in due:
            await self._fetch(request)
            async with self.engine.begin() as connection:
                await fetch_requests.done(connection, request)
        return len(due)

    async def _fetch(self, request: FetchRequest) -> None:
        if request.kind == "refunds":
            async for items, requested_at in self.reader.listed("refunds", charge=request.object_id):
                await self._take(items, requested_at)
        else:
            await self._take(*await self.reader.one(request.kind, request.object_id))

    async def _take(self, items: Items, requested_at: datetime) -> None:
        for item in items:
            try:
                if not self.taker.is_foreign(item):
                    await self.taker.take(item, requested_at=requested_at)
            except UnreadableEvent as error:
                log.warning("fetched_object_unreadable", object_id=item.get("id"), error=str(error))
