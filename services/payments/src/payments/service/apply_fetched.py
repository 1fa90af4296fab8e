"""Take in an object as Stripe's API showed it: one more version, created when it was asked for."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments import models
from payments.service.announce import Cause
from payments.service.ledger import Ledger
from payments.service.shown import FETCHED, Shown, shown_in
from shared import event_log
from shared.tracing import child_traceparent

# Kept like an event, so that what made a payment what it is can be read in one place; never due.
_KEEP = text(
    """
    WITH event AS (
        INSERT INTO stripe_event (id, type, state, received_at, decided_at, created, livemode, object_id, traceparent)
        VALUES (:id, :type, 'processed', now(), now(), :created, :livemode, :object_id, :traceparent)
        ON CONFLICT (id) DO NOTHING
    )
    INSERT INTO stripe_delivery (event_id, received_at, headers, body, source)
    VALUES (:id, now(), '[]', :body, 'reconcile')
    """
)


async def apply_fetched(
    connection: AsyncConnection, raw: Mapping[str, Any], *, requested_at: datetime, source: str = "/payments"
) -> bool:
    """Apply one object of the API, with what is embedded in it; return whether anything became known by it.

    ``requested_at`` is when the question was sent, by our clock or the answer's ``Date``, whichever is earlier. The
    caller commits, wakes the relay, and calls this once per transaction: locks are taken in an order. Nothing is
    written when the object says what is known, so a repetition changes nothing. Raises
    :class:`payments.errors.UnreadableEvent`.
    """
    id_ = f"{FETCHED}_{requested_at.astimezone(UTC):%Y%m%dT%H%M%S%f}_{raw.get('id')}"
    envelope = _envelope(id_, raw, requested_at)
    shown = shown_in(id_, FETCHED, envelope)
    if not await _is_news(connection, shown):
        return False
    ledger = await Ledger.load(connection, shown)
    traceparent = child_traceparent(None)
    ledger.apply(shown, Cause(requested_at.replace(microsecond=0), traceparent))
    await ledger.save(connection)
    await event_log.append(connection, source, ledger.news)
    await connection.execute(_KEEP, _row(envelope, shown, traceparent))
    return True


async def _is_news(connection: AsyncConnection, shown: list[Shown]) -> bool:
    """Say whether any of it would change what is known; another transaction may answer that first, harmlessly."""
    known = await models.kept(connection, [each.version.object.id for each in shown])
    for each in shown:
        before = known.get(each.version.object.id)
        after = before and before.with_version(each.version, {})
        if before is None or after is None or after.object != before.object:
            return True
    return False


def _envelope(id_: str, raw: Mapping[str, Any], requested_at: datetime) -> dict[str, Any]:
    created = int(requested_at.timestamp())
    return {"id": id_, "object": "event", "type": FETCHED, "created": created, "data": {"object": dict(raw)}}


def _row(envelope: Mapping[str, Any], shown: list[Shown], traceparent: str) -> dict[str, object]:
    created = datetime.fromtimestamp(envelope["created"], UTC)
    livemode = envelope["data"]["object"].get("livemode") is True
    return {
        "id": envelope["id"],
        "type": FETCHED,
        "created": created,
        "livemode": livemode,
        "object_id": shown[0].version.object.id,
        "traceparent": traceparent,
        "body": json.dumps(envelope).encode(),
    }
