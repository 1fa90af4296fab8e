"""The walk over List Events: pages of exact bytes, and the events among them that never arrived."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments.errors import StripeAway
from payments.service.examine import HANDLED
from payments.service.reconcile_report import Missed, Report
from payments.service.record_delivery import Delivery, Source, store
from payments.stripe_gateway import StripeApi

_PAGE = 100
_KNOWN = text("SELECT id FROM stripe_event WHERE id = ANY(CAST(:ids AS text[]))")
_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Listed:
    """One event of a list, and the bytes that were it."""

    event: dict[str, Any]
    body: bytes


async def take_missed_events(engine: AsyncEngine, api: StripeApi, report: Report) -> None:
    """Store the handled events of the report's time that are not stored yet, a transaction per page."""
    async for page, request_id in _pages(api, report):
        report.events_seen += len(page)
        handled = {each.event["id"]: each for each in page if each.event.get("type") in HANDLED}
        async with engine.begin() as connection:
            missed = [handled[id_] for id_ in handled.keys() - await _known(connection, list(handled))]
            if missed and not report.dry_run:
                await store(connection, [_delivery(each, request_id) for each in missed], source=Source.RECONCILE)
        report.events += sorted((_missed(each) for each in missed), key=lambda each: each.id)


async def _pages(api: StripeApi, report: Report) -> AsyncIterator[tuple[Sequence[Listed], str | None]]:
    """Walk from the newest to the oldest. The cursor is an event, not a time: a page may end inside a second.

    ``types`` holds at most 20 and ``delivery_success`` speaks of any endpoint, so neither is used.
    """
    created = {"gte": int(report.since.timestamp()), "lte": int(report.until.timestamp())}
    cursor: dict[str, str] = {}
    while True:
        answer = await api.get("/v1/events", limit=_PAGE, created=created, **cursor)
        page = listed(answer.body.decode())
        yield page, answer.request_id
        if not page or answer.data.get("has_more") is not True:
            return
        cursor = {"starting_after": page[-1].event["id"]}


def listed(page: str) -> list[Listed]:
    """Return the items of a list with their exact text. Raises :class:`StripeAway` for what is no list of events."""
    try:
        return [Listed(event, page[start:end].encode()) for event, start, end in _items(page)]
    except (ValueError, IndexError, TypeError, KeyError):
        raise StripeAway("a page of events is not readable") from None


def _items(page: str) -> list[tuple[dict[str, Any], int, int]]:
    """Find the array ``data`` of the outermost object and decode its items one by one, noting where each stands."""
    at = _blank(page, _blank(page, 0) + 1)
    while page[at] != "}":
        name, at = _DECODER.raw_decode(page, at)
        at = _blank(page, _blank(page, at) + 1)
        if name == "data":
            return _elements(page, at)
        _, at = _DECODER.raw_decode(page, at)
        at = _next(page, at)
    raise KeyError("data")


def _elements(page: str, at: int) -> list[tuple[dict[str, Any], int, int]]:
    found = []
    at = _blank(page, at + 1)
    while page[at] != "]":
        item, end = _DECODER.raw_decode(page, at)
        if not isinstance(item["id"], str):
            raise TypeError("an event's id is a string")
        found.append((item, at, end))
        at = _next(page, end)
    return found


def _next(page: str, at: int) -> int:
    """Step over a comma, if there is one."""
    at = _blank(page, at)
    return _blank(page, at + 1) if page[at] == "," else at


def _blank(page: str, at: int) -> int:
    found = _BLANK.match(page, at)
    return found.end() if found else at


async def _known(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    return set((await connection.execute(_KNOWN, {"ids": ids})).scalars())


def _delivery(each: Listed, request_id: str | None) -> Delivery:
    return Delivery.of(each.body, [(b"request-id", request_id.encode())] if request_id else [])


def _missed(each: Listed) -> Missed:
    created = each.event.get("created")
    return Missed(
        each.event["id"],
        str(each.event.get("type")),
        datetime.fromtimestamp(created, UTC) if isinstance(created, int) else None,
    )
