"""The walk over objects: what no event told, because it is older than 30 days or was never generated.

Lists filter by an object's creation, so an old refund that failed yesterday is in no list of yesterday: everything that
may still change is read again by id.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.domain.objects import StripeObject, read_object
from payments.errors import StripeRefused, UnreadableEvent
from payments.service.fetched import FetchedTaker
from payments.service.reconcile_report import Missed, Report
from payments.stripe_gateway import Answer, StripeApi

_PAGE = 100
LISTS = ("payment_intents", "charges", "refunds", "disputes", "checkout/sessions")
PATHS: Mapping[str, str] = {
    "payment_intent": "payment_intents",
    "charge": "charges",
    "refund": "refunds",
    "dispute": "disputes",
    "checkout_session": "checkout/sessions",
    "checkout.session": "checkout/sessions",
}
_MAY_STILL_FAIL = timedelta(days=35)

# What is not final here. A cart nobody went on with, a lapsed authorisation and a refund that arrived long ago would
# be read for ever, so those count only for some time; money under way always does.
_NOT_FINAL = text(
    """
    SELECT id, kind FROM (
        SELECT id, kept #>> '{newest,object,kind}' AS kind, kept #>> '{newest,object,status}' AS status,
               kept #>> '{newest,object,captured}' AS captured,
               kept #>> '{newest,object,payment_status}' AS payment_status,
               CAST(kept #>> '{newest,object,created}' AS bigint) >= :recent AS recent
        FROM stripe_object WHERE kept IS NOT NULL
    ) o
    WHERE CASE kind
        WHEN 'payment_intent' THEN status IN ('requires_action', 'processing', 'requires_capture')
            OR (recent AND status IN ('requires_payment_method', 'requires_confirmation'))
        WHEN 'charge' THEN status = 'pending' OR (recent AND status = 'succeeded' AND captured = 'false')
        WHEN 'refund' THEN status IN ('pending', 'requires_action') OR (recent AND status = 'succeeded')
        WHEN 'dispute' THEN status NOT IN ('won', 'lost', 'warning_closed', 'prevented')
        ELSE status = 'open' OR (recent AND payment_status = 'unpaid')
    END
    ORDER BY id
    """
)


@dataclass(frozen=True, slots=True)
class ObjectWalk:
    """Reads objects of Stripe's and takes in those that differ; ``committed`` is called after each that did."""

    engine: AsyncEngine
    api: StripeApi
    taker: FetchedTaker
    committed: Callable[[], None] = field(default=lambda: None)

    async def run(self, report: Report) -> None:
        """Walk the lists of the report's time, then what is not final here; commits per object."""
        met: set[str] = set()
        for path in LISTS:
            async for answer, items in self._pages(path, created=_window(report)):
                await self._take(items, answer, report, met)
                if path == "charges":
                    await self._refunds_of(items, report, met)
        for kind, id_ in await self._not_final(report):
            if id_ not in met:
                await self._read_again(kind, id_, report, met)

    async def _refunds_of(self, charges: Sequence[Mapping[str, Any]], report: Report, met: set[str]) -> None:
        for charge in charges:
            if charge.get("amount_refunded"):
                async for answer, items in self._pages("refunds", charge=charge["id"]):
                    await self._take(items, answer, report, met)

    async def _read_again(self, kind: str, id_: str, report: Report, met: set[str]) -> None:
        try:
            answer = await self.api.get(f"/v1/{PATHS[kind]}/{id_}")
        except StripeRefused as refused:
            if refused.status != 404:
                raise
            report.gone.append(id_)
        else:
            await self._take([answer.data], answer, report, met)

    async def _pages(self, path: str, **params: object) -> AsyncIterator[tuple[Answer, list[Mapping[str, Any]]]]:
        cursor: dict[str, object] = {}
        while True:
            answer = await self.api.get(f"/v1/{path}", limit=_PAGE, **params, **cursor)
            items = [item for item in answer.data.get("data") or [] if isinstance(item, Mapping)]
            yield answer, items
            if not items or answer.data.get("has_more") is not True:
                return
            cursor = {"starting_after": items[-1]["id"]}

    async def _take(
        self, items: Sequence[Mapping[str, Any]], answer: Answer, report: Report, met: set[str]
    ) -> None:
        """Take in what differs from what is kept; comparing first leaves the others without a lock or a write."""
        fresh = [item for item in items if item["id"] not in met]
        met.update(item["id"] for item in fresh)
        report.objects_seen += len(fresh)
        known = await self.taker.known([item["id"] for item in fresh])
        for item in fresh:
            try:
                differs = _read(item, answer) != known.get(item["id"])
                if differs and await self._took(item, answer, report):
                    report.objects.append(_missed(item))
            except UnreadableEvent:
                report.unreadable.append(item["id"])

    async def _took(self, item: Mapping[str, Any], answer: Answer, report: Report) -> bool:
        if self.taker.is_foreign(item):
            report.foreign += 1
            return False
        changed = await self.taker.take(item, requested_at=answer.requested_at, dry_run=report.dry_run)
        if changed and not report.dry_run:
            self.committed()
        return changed

    async def _not_final(self, report: Report) -> list[tuple[str, str]]:
        recent = int(min(report.since, report.until - _MAY_STILL_FAIL).timestamp())
        async with self.engine.connect() as connection:
            return [(row.kind, row.id) for row in await connection.execute(_NOT_FINAL, {"recent": recent})]


def _window(report: Report) -> dict[str, int]:
    return {"gte": int(report.since.timestamp()), "lte": int(report.until.timestamp())}


def _read(item: Mapping[str, Any], answer: Answer) -> StripeObject:
    return read_object(item, seen=int(answer.requested_at.timestamp()))


def _missed(item: Mapping[str, Any]) -> Missed:
    created = item.get("created")
    return Missed(
        item["id"],
        str(item.get("object")),
        datetime.fromtimestamp(created, UTC) if isinstance(created, int) else None,
    )
