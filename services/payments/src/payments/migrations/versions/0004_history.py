"""What historical bookings proved of their payments."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = [
    # booking_evidence: the newest an import said of a booking's payment; nothing, when it was taken back. Stripe's own
    # facts of the same intent stand before it, so it is kept beside them.
    """
    CREATE TABLE booking_evidence (
        booking_id  text PRIMARY KEY,
        sequence    bigint NOT NULL,
        payment_id  uuid,
        said        json
    )
    """,
    "CREATE INDEX booking_evidence_payment_id ON booking_evidence (payment_id)",
    # What a migrated payment rests on: its reference, the kind of evidence, and what was filled in.
    "ALTER TABLE payment ADD COLUMN provenance json",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
