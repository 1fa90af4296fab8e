"""Users sorted by id, and by being placeholders: as for every other sort, an index and places to begin at."""

from alembic import op

revision = "0009"
down_revision = "0008"

KEYS = """
    email_key, name_key, first_key, last_key, phone_key, company_key, total_bookings, total_spent, total_paid,
    total_refunded, first_booking_key, last_booking_key, last_activity_key, created_at, placeholder
"""
STATEMENTS = [
    "CREATE INDEX customer_by_user_id ON customer (user_id) WHERE listed",
    "CREATE INDEX customer_by_placeholder ON customer (placeholder, user_id) WHERE listed",
    # What moved before is not known by the new key: all is counted again.
    "DELETE FROM customer_anchor",
    "DELETE FROM customer_moved",
    "ALTER TABLE customer_moved ADD COLUMN placeholder boolean",
    f"""
    CREATE OR REPLACE FUNCTION gateway.count_customers() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO gateway.customer_moved SELECT 1, user_id, {KEYS} FROM new_rows WHERE listed;
        IF TG_OP = 'INSERT' THEN
            INSERT INTO gateway.customer_count (placeholder, has_bookings, users)
            SELECT placeholder, total_bookings > 0, count(*) FROM new_rows WHERE listed GROUP BY 1, 2;
        ELSE
            INSERT INTO gateway.customer_moved SELECT -1, user_id, {KEYS} FROM old_rows WHERE listed;
            INSERT INTO gateway.customer_count (placeholder, has_bookings, users)
            SELECT placeholder, has_bookings, sum(change) FROM (
                SELECT placeholder, total_bookings > 0 AS has_bookings, 1 AS change FROM new_rows WHERE listed
                UNION ALL
                SELECT placeholder, total_bookings > 0, -1 FROM old_rows WHERE listed
            ) changes GROUP BY 1, 2 HAVING sum(change) <> 0;
        END IF;
        RETURN NULL;
    END $$
    """,  # noqa: S608 - constants
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
