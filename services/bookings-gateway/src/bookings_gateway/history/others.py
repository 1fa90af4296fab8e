"""What the other services say themselves, asked page by page: a verification trusts no copy of its own."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from bookings_gateway.history.errors import PartSilent

_SECONDS = 30.0
_TOTALS_AT_ONCE = 250

PARTS = ("users", "payments", "stats")


@dataclass(frozen=True, slots=True)
class Sums:
    """A user's totals, money in one currency, as stats says them. ``user`` is whom they count as, were they merged."""

    user: str
    bookings: int
    first: datetime | None
    last: datetime | None
    spent: Decimal
    paid: Decimal
    refunded: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class Others:
    """The other services' internal APIs and metrics. ``urls`` by part."""

    urls: Mapping[str, str]
    client: httpx.AsyncClient

    async def payments(self) -> AsyncIterator[dict[str, Any]]:
        """Yield every migrated payment that stands."""
        async for item in self._pages("payments", "/internal/history/payments", limit=1_000):
            yield item

    async def payers(self) -> AsyncIterator[dict[str, Any]]:
        """Yield every user with what they paid, by currency."""
        async for item in self._pages("payments", "/internal/history/sums", limit=1_000):
            yield item

    async def people(self) -> AsyncIterator[dict[str, Any]]:
        """Yield every user with all forms of contact kept."""
        async for item in self._pages("users", "/internal/history/people", limit=2_000):
            yield item

    async def _pages(self, part: str, path: str, *, limit: int) -> AsyncIterator[dict[str, Any]]:
        after = str(UUID(int=0))
        while True:
            items = (await self._get(part, path, {"after": after, "limit": limit}))["items"]
            for item in items:
                yield item
            if len(items) < limit:
                return
            after = items[-1]["id"]

    async def totals(self, users: Iterable[str], *, currency: str) -> dict[str, Sums]:
        """Return the totals of these users, of those of whom stats knows anything."""
        found: dict[str, Sums] = {}
        wanted = list(users)
        for start in range(0, len(wanted), _TOTALS_AT_ONCE):
            ids = wanted[start : start + _TOTALS_AT_ONCE]
            answer = await self._get("stats", "/internal/users/totals", {"ids": ids})
            found |= {user: _sums(totals, currency) for user, totals in answer.items()}
        return found

    async def gauges(self, part: str, names: Iterable[str]) -> dict[str, float]:
        """Return metrics of a service by name, and queue where they have one: ``queue_depth stats.bulk``.

        A service that is not well did not measure its queues: what it still says of them is left out.
        """
        wanted = set(names) - (set() if await self._measure(part) else {"queue_depth"})
        told = await self._metrics(part)
        samples = [sample for name, found in told.items() if name in wanted for sample in found]
        return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}

    async def metrics(self, part: str) -> Mapping[str, Sequence[Sample]]:
        """Return a service's metrics by name, its queues measured now. Raises ``PartSilent``."""
        await self._measure(part)
        return await self._metrics(part)

    async def _metrics(self, part: str) -> Mapping[str, Sequence[Sample]]:
        answer = await self._send(part, "/metrics", {})
        told: dict[str, list[Sample]] = defaultdict(list)  # a name without a type comes once for each of its samples
        try:
            for family in text_string_to_metric_families(answer.text):
                told[family.name] += family.samples
        except (ValueError, LookupError):
            why = "what it tells are no metrics"
            raise PartSilent(part, self.urls[part], why, status=answer.status_code) from None
        return told

    async def _measure(self, part: str) -> bool:
        """Have a service measure its queues, which its health check does; say whether it is well."""
        with suppress(httpx.HTTPError):
            return (await self.client.get(f"{self.urls[part].rstrip('/')}/health/ready")).is_success
        return False

    async def _get(self, part: str, path: str, query: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        return (await self._send(part, path, query)).json()

    async def _send(self, part: str, path: str, query: Mapping[str, Any]) -> httpx.Response:
        try:
            answer = await self.client.get(f"{self.urls[part].rstrip('/')}{path}", params=dict(query))
        except httpx.HTTPError as error:
            raise PartSilent(part, self.urls[part], type(error).__name__) from None
        if not answer.is_success:
            raise PartSilent(part, self.urls[part], f"HTTP {answer.status_code}", status=answer.status_code)
        return answer


def _sums(totals: Mapping[str, Any], currency: str) -> Sums:
    money: Mapping[str, str] = next((each for each in totals["currencies"] if each["currency"] == currency), {})
    first, last = (_moment(totals[f"{which}_booking_date"]) for which in ("first", "last"))
    names = ("total_spent", "total_paid", "total_refunded", "net_paid")
    spent, paid, refunded, net = (Decimal(money.get(name, 0)) for name in names)
    return Sums(totals["user_id"], totals["total_bookings"], first, last, spent, paid, refunded, net)


def _moment(said: str | None) -> datetime | None:
    return datetime.fromisoformat(said) if said else None


@asynccontextmanager
async def asking(urls: Mapping[str, str], token: str | None) -> AsyncIterator[Others]:
    """Connect to the other services for a while."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(timeout=_SECONDS, headers=headers, trust_env=False) as client:
        yield Others(urls, client)
