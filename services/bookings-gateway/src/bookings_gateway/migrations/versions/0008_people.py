"""Whose a captured change is that no event could be made of."""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = [
    # person: the digest of the address in the row, as customer.erased_digest is one; empty where there is none or it
    # was taken out, null until the erasing worker has looked. booked_at: when the booking says it was made.
    "ALTER TABLE booking_change_failed ADD COLUMN person bytea, ADD COLUMN booked_at timestamptz",
    "CREATE INDEX booking_change_failed_person ON booking_change_failed (person)",
    "CREATE INDEX booking_change_failed_booking_id ON booking_change_failed (booking_id)",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
