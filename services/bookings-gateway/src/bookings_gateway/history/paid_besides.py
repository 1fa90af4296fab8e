"""Bookings with money besides what their row proves: both stand, and a person says whether both came.

Where the amounts are the same, what the row proves gives way at payments, whichever came first. Another amount may be
the same money, or more of it.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_BESIDES = """
    SELECT p.booking_id FROM booking_payment p
    WHERE p.migrated AND p.status = 'succeeded' AND p.stripe_payment_intent_id IS NULL
      AND EXISTS (SELECT FROM booking_payment o
                  WHERE o.booking_id = p.booking_id AND o.status = 'succeeded'
                    AND NOT (o.migrated AND o.stripe_payment_intent_id IS NULL))
"""
_REVIEW = text(
    f"""
    UPDATE import_item SET reviews = reviews || CAST('paid_besides' AS text)
    WHERE outcome = 'published' AND booking_id IN ({_BESIDES}) AND 'paid_besides' <> ALL(reviews)
    """  # noqa: S608
)
# Should another amount come again, that wants a decision of its own.
_NO_MORE = text(
    f"""
    WITH settled AS (
        UPDATE import_item SET reviews = array_remove(reviews, 'paid_besides')
        WHERE reviews <> '{{}}' AND 'paid_besides' = ANY(reviews) AND booking_id NOT IN ({_BESIDES})
        RETURNING booking_id
    )
    DELETE FROM import_verdict v USING settled s WHERE v.booking_id = s.booking_id AND v.code = 'paid_besides'
    """  # noqa: S608
)


async def review_paid_besides(connection: AsyncConnection) -> None:
    """Put these bookings before a person, and take those that are none any more away; the caller commits."""
    await connection.execute(_REVIEW)
    await connection.execute(_NO_MORE)
