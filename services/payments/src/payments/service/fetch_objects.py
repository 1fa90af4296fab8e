"""Read from Stripe what events did not say enough of: the requests processing leaves behind."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.errors import StripeRefused, UnreadableEvent
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
# A charge in an event names its balance transaction only; its fee is told when that is shown in full.
# https://docs.stripe.com/api/expanding_objects
_SHOWN_IN_FULL: Mapping[str, Mapping[str, object]] = {
    "charge": {"expand": ["balance_transaction"]},
    "charges": {"expand": ["data.balance_transaction"]},
}

_DUE = text(
    """
    SELECT object_id, kind, requested_at FROM fetch_request
    WHERE done_at IS NULL AND requested_at <= now() - make_interval(secs => :pause)
    ORDER BY requested_at, object_id LIMIT :limit
    """
)
# One that was asked for again while it was being read stays due: the answer may be older than what asked.
_DONE = text(
    """
    UPDATE fetch_request SET done_at = now()
    WHERE object_id = :object_id AND kind = :kind AND requested_at = :requested_at
    """
)
# What Stripe will not show is asked for again, but not before everything else.
_POSTPONE = text(
    """
    UPDATE fetch_request SET requested_at = now() + interval '1 hour'
    WHERE object_id = :object_id AND kind = :kind AND requested_at = :requested_at
    """
)
Items = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ObjectReader:
    """Pages of objects as Stripe shows them now, and when it was asked."""

    api: StripeApi

    async def listed(self, path: str, **params: object) -> AsyncIterator[tuple[Items, datetime]]:
        """Walk a list from the newest object to the oldest."""
        cursor: dict[str, object] = {}
        while True:
            answer = await self.api.get(f"/v1/{path}", limit=_PAGE, **_SHOWN_IN_FULL.get(path, {}), **params, **cursor)
            items = [item for item in answer.data.get("data") or [] if isinstance(item, Mapping)]
            yield items, answer.requested_at
            if not items or answer.data.get("has_more") is not True:
                return
            cursor = {"starting_after": items[-1]["id"]}

    async def one(self, kind: str, id_: str) -> tuple[Items, datetime]:
        """Return one object; none when Stripe does not know it."""
        try:
            answer = await self.api.get(f"/v1/{PATHS[kind]}/{id_}", **_SHOWN_IN_FULL.get(kind, {}))
        except StripeRefused as refused:
            if refused.status != 404:
                raise
            return [], datetime.now(UTC)
        return [answer.data], answer.requested_at


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Answers fetch requests."""

    engine: AsyncEngine
    reader: ObjectReader
    taker: FetchedTaker

    async def fetch_due(self, *, pause_seconds: float = 0) -> int:
        """Answer the oldest requests and return how many; commits one by one.

        Those made within the pause are left: an event under way may answer them. One that Stripe refuses waits an
        hour. Raises :class:`payments.errors.StripeAway`: what is not answered stays due.
        """
        async with self.engine.connect() as connection:
            due = (await connection.execute(_DUE, {"limit": _PAGE, "pause": pause_seconds})).mappings().all()
        for request in due:
            settled = _DONE if await self._fetch(request["kind"], request["object_id"]) else _POSTPONE
            async with self.engine.begin() as connection:
                await connection.execute(settled, dict(request))
        return len(due)

    async def _fetch(self, kind: str, id_: str) -> bool:
        """Read what is asked for; ``False`` when Stripe refuses to show it."""
        try:
            if kind == "refunds":
                async for items, requested_at in self.reader.listed("refunds", charge=id_):
                    await self._take(items, requested_at)
            else:
                await self._take(*await self.reader.one(kind, id_))
        except StripeRefused as refused:
            log.warning("fetch_refused", kind=kind, object_id=id_, status=refused.status, code=refused.code)
            return False
        return True

    async def _take(self, items: Items, requested_at: datetime) -> None:
        for item in items:
            try:
                if not self.taker.is_foreign(item):
                    await self.taker.take(item, requested_at=requested_at)
            except UnreadableEvent as error:
                log.warning("fetched_object_unreadable", object_id=item.get("id"), error=str(error))
