"""The walk over objects: what no event told, because it is older than 30 days or was never generated.

Lists filter by an object's creation, so an old refund that failed yesterday is in no list of yesterday: everything that
may still change is read again by id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from payments import models
from payments.errors import UnreadableEvent
from payments.service.fetch_objects import Items, ObjectReader
from payments.service.fetched import FetchedTaker
from payments.service.reconcile_report import Missed, Report

LISTS = ("payment_intents", "charges", "refunds", "disputes", "checkout/sessions")
_MAY_STILL_FAIL = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class ObjectWalk:
    """Reads objects of Stripe's and takes in those that differ."""

    engine: AsyncEngine
    reader: ObjectReader
    taker: FetchedTaker

    async def run(self, report: Report) -> None:
        """Walk the lists of the report's time, then what is unsettled here; commits per object."""
        met: set[str] = set()
        for path in LISTS:
            async for items, requested_at in self.reader.listed(path, created=_window(report)):
                await self._take(items, requested_at, report, met)
                if path == "charges":
                    await self._refunds_of(items, report, met)
        for kind, id_ in await self._unsettled(report):
            if id_ not in met:
                await self._read_again(kind, id_, report, met)

    async def _refunds_of(self, charges: Items, report: Report, met: set[str]) -> None:
        for charge in charges:
            if charge.get("amount_refunded"):
                async for items, requested_at in self.reader.listed("refunds", charge=charge["id"]):
                    await self._take(items, requested_at, report, met)

    async def _read_again(self, kind: str, id_: str, report: Report, met: set[str]) -> None:
        items, requested_at = await self.reader.one(kind, id_)
        if not items:
            report.gone.append(id_)
        await self._take(items, requested_at, report, met)

    async def _take(self, items: Items, requested_at: datetime, report: Report, met: set[str]) -> None:
        """Take in what was not met before on this walk."""
        for item in items:
            if item["id"] in met:
                continue
            met.add(item["id"])
            report.objects_seen += 1
            if self.taker.is_foreign(item):
                report.foreign += 1
                continue
            try:
                if await self.taker.take(item, requested_at=requested_at, dry_run=report.dry_run):
                    report.objects.append(_missed(item))
            except UnreadableEvent:
                report.unreadable.append(item["id"])

    async def _unsettled(self, report: Report) -> list[tuple[str, str]]:
        recent = int(min(report.since, report.until - _MAY_STILL_FAIL).timestamp())
        async with self.engine.connect() as connection:
            return await models.unsettled(connection, since=recent)


def _window(report: Report) -> dict[str, int]:
    return {"gte": int(report.since.timestamp()), "lte": int(report.until.timestamp())}


def _missed(item: Mapping[str, Any]) -> Missed:
    created = item.get("created")
    return Missed(
        item["id"],
        str(item.get("object")),
        datetime.fromtimestamp(created, UTC) if isinstance(created, int) else None,
    )
