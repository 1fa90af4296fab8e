"""What historical bookings proved of their payments."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = [
    # booking_evidence: the newest an import said of a booking's payment; nothing, when it was taken back. Stripe's own
    # facts of the same intent stand before it, so it is kept beside them. Taken back by a person, it proves nothing,
    # whatever the import says again; Stripe's payments are refunded instead.
    """
    CREATE TABLE booking_evidence (
        booking_id  text PRIMARY KEY,
        sequence    bigint NOT NULL,
        payment_id  uuid,
        said        json,
        canceled_by text,
        canceled_at timestamptz,
        cancel_reason text
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
