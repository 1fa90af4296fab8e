"""Whose addresses are in which event, by digest: to find what an erased person's payments without a booking left."""

from alembic import op

revision = "0005"
down_revision = "0004"

# Events that told of an erased person while the address was theirs.
ADDRESSED = """
    CREATE VIEW erased_event AS
    SELECT e.id, e.object_id FROM erased_address a JOIN stripe_event e
        ON cardinality(e.addresses) > 0 AND e.addresses @> ARRAY[a.digest]
        AND coalesce(e.created, e.received_at) <= a.erased_at
"""
# A payment that matches no booking is theirs whose address it was made by.
PAYMENTS = """
    CREATE OR REPLACE VIEW erased_payment AS
    SELECT p.id FROM erased_user JOIN payment p USING (user_id)
    UNION
    SELECT p.id FROM erased_event e JOIN stripe_object o ON o.id = e.object_id JOIN payment p ON p.id = o.payment_id
    WHERE p.booking_id IS NULL
"""
STATEMENTS = [
    # erased_address: digests of addresses of erased people, and until when they were theirs.
    "CREATE TABLE erased_address (digest bytea PRIMARY KEY, erased_at timestamptz NOT NULL)",
    # addresses: digests of the e-mail addresses in an event; null until somebody has looked.
    "ALTER TABLE stripe_event ADD COLUMN addresses bytea[]",
    """
    CREATE INDEX stripe_event_addresses ON stripe_event USING gin (addresses) WITH (fastupdate = off)
    WHERE cardinality(addresses) > 0
    """,
    "CREATE INDEX stripe_event_unread ON stripe_event (id) WHERE addresses IS NULL",
    ADDRESSED,
    PAYMENTS,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
