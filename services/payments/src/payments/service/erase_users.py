"""Erase: what Stripe, bookings and people said of an erased user goes; amounts, ids, states and times stay.

Nothing has to happen at the right moment: whatever belongs to an erased user *now* is redacted, again and again. So a
delivery, a link or a merge that comes after the erasure is found as well.
"""

import asyncio
import json

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.domain.addresses import as_bytea, digests_in
from payments.domain.redaction import customer_of, redacted
from payments.service.bodies import parse
from shared.database import is_transient
from shared.forgotten_letters import forgetting_letters, naming

log = structlog.get_logger(__name__)

_PAGE = 100
_LOOK_EVERY = 10.0

_ANYBODY = text("SELECT EXISTS (SELECT FROM user_erasure)")

# What was applied to their payments, and what was not but is about these or about them (ignored, quarantined, failed);
# and whatever has an address of theirs in it. Whose customer Stripe names is learned from their own payments alone.
_DUE = text(
    """
    WITH erased_object AS (SELECT o.id FROM erased_payment p JOIN stripe_object o ON o.payment_id = p.id),
    named AS (SELECT id FROM erased_object UNION SELECT id FROM erased_customer),
    told AS (
        SELECT id, bool_or(theirs) AS theirs FROM (
            SELECT e.id, true AS theirs FROM erased_object o JOIN stripe_event e ON e.object_id = o.id
            UNION ALL
            SELECT e.id, false FROM named n JOIN stripe_event e ON e.mentions IS NOT NULL AND e.mentions @> ARRAY[n.id]
            UNION ALL
            SELECT id, false FROM erased_event
        ) found GROUP BY id
    )
    SELECT d.id, d.body, told.theirs
    FROM told JOIN stripe_event e USING (id) JOIN stripe_delivery d ON d.event_id = e.id
    WHERE d.redacted_at IS NULL
    ORDER BY d.id LIMIT :page
    """
)
_CUSTOMERS = text(
    "INSERT INTO erased_customer SELECT unnest(CAST(:ids AS text[])) AS id ORDER BY id ON CONFLICT DO NOTHING"
)
# Events of before it was noted whose addresses are in them, and those that failed before they were read.
_UNREAD = text(
    """
    SELECT e.id, d.body FROM stripe_event e
    JOIN LATERAL (SELECT body FROM stripe_delivery WHERE event_id = e.id ORDER BY id LIMIT 1) d ON true
    WHERE e.addresses IS NULL AND e.decided_at IS NOT NULL ORDER BY e.id LIMIT :page
    FOR UPDATE OF e SKIP LOCKED
    """
)
_READ = text(
    """
    UPDATE stripe_event e SET addresses = r.addresses
    FROM json_to_recordset(CAST(:rows AS json)) AS r (id text, addresses bytea[]) WHERE e.id = r.id
    """
)
# sha256 on the right is that of the body before.
_REDACT = text(
    """
    UPDATE stripe_delivery SET body = r.body, redacted_at = now(), original_sha256 = sha256
    FROM unnest(CAST(:ids AS bigint[]), CAST(:bodies AS bytea[])) AS r (id, body)
    WHERE stripe_delivery.id = r.id AND redacted_at IS NULL
    """
)
# What people typed, and what bookings said to be recognised by. A refund still to be sent is asked for as it was.
_FORGET = [
    text(
        """
        UPDATE refund_request SET reason = NULL FROM erased_payment p
        WHERE payment_id = p.id AND state <> 'pending' AND reason IS NOT NULL
        """
    ),
    text(
        """
        UPDATE manual_payment SET cancel_reason = NULL, reference = NULL FROM erased_payment p
        WHERE manual_payment.id = p.id AND (cancel_reason IS NOT NULL OR reference IS NOT NULL)
        """
    ),
    text(
        """
        UPDATE booking_evidence SET cancel_reason = NULL FROM erased_payment p
        WHERE booking_evidence.payment_id = p.id AND cancel_reason IS NOT NULL
        """
    ),
    text(
        """
        UPDATE stripe_event_decision SET reason = NULL
        FROM erased_payment p JOIN stripe_object o ON o.payment_id = p.id JOIN stripe_event e ON e.object_id = o.id
        WHERE stripe_event_decision.event_id = e.id AND stripe_event_decision.reason IS NOT NULL
        """
    ),
    text(
        """
        UPDATE booking_hint SET email = NULL FROM erased_user JOIN booking_link l USING (user_id)
        WHERE booking_hint.booking_id = l.booking_id AND email IS NOT NULL
        """
    ),
    forgetting_letters(
        naming(
            """
            SELECT FROM erased_user e WHERE e.user_id = named.id
            UNION ALL
            SELECT FROM erased_user JOIN booking_link l USING (user_id) WHERE l.booking_id = named.id
            """
        )
    ),
]


async def run(engine: AsyncEngine) -> None:
    """Redact until cancelled, what was erased and what came later."""
    while True:
        try:
            await redact(engine)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("redaction_interrupted", error=repr(error)[:500])
        await asyncio.sleep(_LOOK_EVERY)


async def redact(engine: AsyncEngine) -> int:
    """Redact what belongs to erased users and is not yet redacted, page by page; return how many deliveries."""
    async with engine.begin() as connection:
        if not (await connection.execute(_ANYBODY)).scalar_one():
            return 0  # the usual case, and the statements below read every payment to come to it
        for statement in _FORGET:
            await connection.execute(statement)
    while await _read_page(engine):
        pass
    total = 0
    while count := await _redact_page(engine):
        total += count
    if total:
        log.info("deliveries_redacted", deliveries=total)
    return total


async def _read_page(engine: AsyncEngine) -> int:
    async with engine.begin() as connection:
        unread = (await connection.execute(_UNREAD, {"page": _PAGE})).all()
        rows = [{"id": row.id, "addresses": as_bytea(digests_in(parse(row.body)))} for row in unread]
        if rows:
            await connection.execute(_READ, {"rows": json.dumps(rows)})
    return len(unread)


async def _redact_page(engine: AsyncEngine) -> int:
    async with engine.begin() as connection:
        due = (await connection.execute(_DUE, {"page": _PAGE})).all()
        if due:
            told = {row.id: json.loads(row.body) for row in due}
            customers = {customer_of(told[row.id]) for row in due if row.theirs} - {None}
            await connection.execute(_CUSTOMERS, {"ids": list(customers)})
            bodies = [json.dumps(redacted(each), separators=(",", ":")).encode() for each in told.values()]
            await connection.execute(_REDACT, {"ids": list(told), "bodies": bodies})
    return len(due)
