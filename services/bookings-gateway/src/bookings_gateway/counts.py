"""Totals that are never counted: triggers add what each statement changed (migration 0002), and a sum is the total.

Rows are only added, so no writer waits for another; now and then they are put together.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_MANY = 64
_APART = text("SELECT (SELECT count(*) FROM customer_count), (SELECT count(*) FROM payment_count)")
# Two at once do no harm: who comes second finds the rows gone, and adds nothing.
_CUSTOMERS = text(
    """
    WITH gone AS (DELETE FROM customer_count RETURNING placeholder, has_bookings, users)
    INSERT INTO customer_count SELECT placeholder, has_bookings, sum(users) FROM gone GROUP BY 1, 2
    """
)
_PAYMENTS = text(
    """
    WITH gone AS (DELETE FROM payment_count RETURNING payments)
    INSERT INTO payment_count SELECT sum(payments) FROM gone HAVING count(*) > 0
    """
)


async def put_counts_together(engine: AsyncEngine) -> None:
    """Make one row per kind of the many that count users and payments."""
    async with engine.begin() as connection:
        customers, payments = (await connection.execute(_APART)).one()
        if customers > _MANY:
            await connection.execute(_CUSTOMERS)
        if payments > _MANY:
            await connection.execute(_PAYMENTS)
